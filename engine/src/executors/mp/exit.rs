//! How a process ended, for people: its status, its signal, or the lack of memory.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use super::super::owned::{Exit, UNUSABLE};

const KILLED: i32 = 9;

/// How often the kernel has killed a process of this host for want of memory; none where it does
/// not say.
pub(super) fn out_of_memory_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// How a process ended. `starved`: the kernel has killed for want of memory while it ran.
pub(super) fn exit(status: ExitStatus, starved: bool, last_words: &str) -> Exit {
    let mut reason = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(KILLED)) if starved => {
            "was killed by signal 9: out of memory (the kernel's count of such kills rose)"
                .to_owned()
        }
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    };
    if status.core_dumped() {
        reason += " and left a core";
    }
    if !last_words.is_empty() {
        reason += &format!(" ({last_words})");
    }
    Exit { reason, lasting: status.code() == Some(UNUSABLE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_signal_and_memory_are_told_apart() {
        let of = |raw, starved| exit(ExitStatus::from_raw(raw), starved, "").reason;
        assert_eq!(of(1 << 8, true), "ended with status 1");
        assert_eq!(of(9, false), "was killed by signal 9");
        assert!(of(9, true).contains("out of memory"));
        assert_eq!(of(15, true), "was killed by signal 15");
        let wrong = exit(ExitStatus::from_raw(2 << 8), false, "worker.slots: give 1 to 64");
        assert!(wrong.lasting && wrong.reason.ends_with("(worker.slots: give 1 to 64)"));
    }

    #[test]
    fn the_kernel_counts() {
        assert!(out_of_memory_kills().is_some());
    }
}
