//! A process that can't be mistaken for a later one with the same number.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A process of this host: its number, and when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the host's start.
    pub started: u64,
    /// Which start of the host that counts from.
    pub boot: String,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// Whether it still runs; a zombie doesn't.
    pub(super) runs: bool,
    pub(super) session: u32,
    pub(super) started: u64,
}

impl ProcessId {
    /// The process of this number; none where there is none.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self::new(pid, Stat::of(pid)?))
    }

    pub(super) fn new(pid: u32, stat: Stat) -> Self {
        Self { pid, started: stat.started, boot: boot_id() }
    }

    /// This process.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs. One that has ended and was not waited for counts as ended.
    #[must_use]
    pub fn runs(&self) -> bool {
        let stat = Stat::of(self.pid);
        stat.is_some_and(|stat| stat.runs && stat.started == self.started) && self.is_of_this_boot()
    }

    /// Whether the host has not been started again since.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot == boot_id()
    }

    /// Sends a signal to it, and to no other. Says whether it was still there to get it.
    pub fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = raw(self.pid) else { return false };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            // The descriptor holds the process fast; what it was before is checked after.
            Ok(fd) => self.runs() && rustix::process::pidfd_send_signal(&fd, signal).is_ok(),
            Err(Errno::NOSYS) => self.runs() && rustix::process::kill_process(pid, signal).is_ok(),
            Err(_) => false,
        }
    }
}

impl Stat {
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name, in parentheses, may hold blanks and parentheses itself.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            runs: !matches!(*fields.first()?, "Z" | "X" | "x"),
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

pub(super) fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let own = ProcessId::own().unwrap();
        assert!(own.runs());
        let other = ProcessId { started: own.started + 1, ..own.clone() };
        assert!(!other.runs() && !other.signal(Signal::KILL));
        let before = ProcessId { boot: "another".to_owned(), ..own };
        assert!(!before.runs() && !before.signal(Signal::KILL));
    }

    #[test]
    fn a_name_with_parentheses_is_read() {
        let text = "7 (a) b (c)) S 1 7 9 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let stat = Stat { runs: true, session: 9, started: 4711 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (a"), None);
    }
}
