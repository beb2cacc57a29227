//! All processes of a replica: found by what they can't easily shed.
//!
//! A program's children leave its process group (`timeout` does) and even its session (daemons
//! do), but seldom its environment, where the result's file names the replica.

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
    leader: Option<u32>,
    /// Its result's variable, as an environment has it.
    variable: Option<Vec<u8>>,
}

impl Members {
    pub(crate) fn new(leader: Option<u32>, result: Option<&str>) -> Self {
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
        pids.filter(|pid| *pid != own && self.has(*pid)).filter_map(ProcessId::of).collect()
    }

    fn has(&self, pid: u32) -> bool {
        let Some(stat) = Stat::of(pid).filter(|stat| stat.runs) else { return false };
        if self.leader == Some(stat.session) {
            return true;
        }
        let Some(variable) = &self.variable else { return false };
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable)
    }
}
