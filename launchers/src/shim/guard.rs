//! Kills a replica's processes when its shim was killed.
//!
//! The kernel ends the program itself with its shim, but not what the program has started.

use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};

use super::members::Members;
use super::stage::{self, Stage};
use super::{Plan, ProcessId, Report};

/// The shim's last message when all is well.
const DONE: &str = "done";

/// The shim's handle of the guard.
pub(super) struct Guard {
    child: Child,
}

impl Guard {
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let mut command = stage::command(folder, Stage::Guard)?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn()? })
    }

    /// Tells it which process is the program.
    pub(super) fn watch(&mut self, program: &ProcessId) {
        self.say(&serde_json::to_string(program).unwrap_or_default());
    }

    /// Dismisses it: the replica's report says how it ended.
    pub(super) fn dismiss(mut self) {
        self.say(DONE);
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }

    /// A guard that is gone is ignored; the shim works without it.
    fn say(&mut self, line: &str) {
        if let Some(input) = &mut self.child.stdin {
            let _ = writeln!(input, "{line}");
        }
    }
}

/// Runs the guard.
pub(super) fn run(folder: &Path) -> ExitCode {
    // Out of the shim's process group, which may be killed as a whole.
    let _ = rustix::process::setsid();
    let mut lines = io::stdin().lock().lines();
    let mut next = || lines.next().and_then(Result::ok);
    let leader = next();
    if leader.is_some() && next().as_deref() == Some(DONE) {
        return ExitCode::SUCCESS;
    }
    let leader: Option<ProcessId> = leader.and_then(|line| serde_json::from_str(&line).ok());
    clear(folder, leader.as_ref());
    ExitCode::SUCCESS
}

/// Kills all that is left of a replica whose shim is gone, and has its report say so.
pub(crate) fn clear(folder: &Path, leader: Option<&ProcessId>) {
    let plan = Plan::read(folder).ok().flatten();
    Members::new(leader, plan.as_ref().and_then(Plan::result)).kill();
    if let Ok(Some(report)) = Report::read(folder)
        && !report.status.is_final()
    {
        // Without a report, or a folder, a reader still finds that the shim is gone.
        let _ = report.lost().write(folder);
    }
}
