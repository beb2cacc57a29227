//! All processes of a replica: found by what they can't easily shed.
//!
//! A program's children leave its process group (`timeout` does) and even its session (daemons
//! do), but seldom its environment, where the result's file names the replica.
//!
//! A session is known by a number, which the host gives out again: it counts only as long as no
//! other process can have it.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::process_id::{ProcessId, Stat};
use crate::RESULT_VARIABLE;

/// How often what is left is looked for: a process can fork while it is being killed.
const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// What tells a replica's processes from all others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    /// The program, which leads a session.
    leader: Option<ProcessId>,
    /// Its result's variable, as an environment has it.
    variable: Option<Vec<u8>>,
}

impl Members {
    pub(crate) fn new(leader: Option<&ProcessId>, result: Option<&str>) -> Self {
        let leader = leader.cloned();
        let variable = result.map(|result| format!("{RESULT_VARIABLE}={result}").into_bytes());
        Self { leader, variable }
    }

    /// Kills all, and those that they start meanwhile. Says how many could not be ended: those
    /// that hang in the kernel.
    pub(crate) fn kill(&self) -> usize {
        for _ in 0..ROUNDS {
            let found = self.find();
            if found.is_empty() {
                return 0;
            }
            for member in found {
                member.signal(Signal::KILL);
            }
            std::thread::sleep(PAUSE);
        }
        self.find().len()
    }

    fn find(&self) -> Vec<ProcessId> {
        let own = std::process::id();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let session = self.session();
        // Its start is taken before it is looked at: should another come to have its number, that
        // one is not meant.
        let member = |pid: u32| {
            let stat = Stat::of(pid).filter(|stat| stat.runs)?;
            self.has(pid, stat, session).then(|| ProcessId::new(pid, stat))
        };
        pids.filter(|pid| *pid != own).filter_map(member).collect()
    }

    /// The leader's session, as long as its number is its own: since the same start of the host,
    /// and no other process has it now.
    fn session(&self) -> Option<u32> {
        let leader = self.leader.as_ref().filter(|leader| leader.is_of_this_boot())?;
        let now = Stat::of(leader.pid);
        now.is_none_or(|now| now.started == leader.started).then_some(leader.pid)
    }

    fn has(&self, pid: u32, stat: Stat, session: Option<u32>) -> bool {
        if session == Some(stat.session) {
            return true;
        }
        let Some(variable) = &self.variable else { return false };
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that leads a session, as a daemon does.
    fn daemon() -> (Child, ProcessId) {
        let mut command = Command::new("setsid");
        let child = command.args(["sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
        let (pid, began) = (child.id(), std::time::Instant::now());
        while Stat::of(pid).is_none_or(|stat| stat.session != pid) {
            assert!(began.elapsed() < Duration::from_secs(30), "it leads no session");
            std::thread::sleep(PAUSE);
        }
        (child, ProcessId::of(pid).unwrap())
    }

    #[test]
    fn a_session_whose_number_was_given_out_again_is_left_alone() {
        let (mut child, leader) = daemon();
        let before = ProcessId { started: leader.started - 1, ..leader.clone() };
        let last_boot = ProcessId { boot: "another".to_owned(), ..leader.clone() };
        for other in [before, last_boot] {
            assert_eq!(Members::new(Some(&other), Some("/no/such/result")).kill(), 0);
            assert!(leader.runs(), "{other:?} is not {leader:?}");
        }
        assert_eq!(Members::new(Some(&leader), None).kill(), 0);
        assert!(!leader.runs());
        child.wait().unwrap();
    }
}
