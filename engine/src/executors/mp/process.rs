//! One worker's process: how it is started, awaited and ended.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hearth_base::causes;
use hearth_base::task::OwnedTask;
use tokio::process::{Child, ChildStdin, Command};

use super::super::owned::flags::{self, WorkerFlags};
use super::super::owned::{Exit, Home, LastLines, Origin, Run};
use super::exit;
use crate::config::MpSection;
use crate::executors::Error;
use crate::executors::worker_program::{share_of_cores, worker_program};

/// How long a worker whose lifeline was cut may take to end, before it is killed.
const END_LIMIT: Duration = Duration::from_secs(2);

/// How long the last lines of a process that has ended may take to arrive.
const LAST_LINES: Duration = Duration::from_millis(300);

/// Starts the processes.
pub(super) struct Processes {
    program: PathBuf,
    section: MpSection,
    home: Arc<Home>,
}

impl Processes {
    pub(super) fn new(section: &MpSection, home: Arc<Home>) -> Self {
        let program = section.owned.program.clone().unwrap_or_else(worker_program);
        Self { program, section: section.clone(), home }
    }

    fn command(&self, rank: u32) -> Result<Command, Error> {
        let Self { program, section: MpSection { owned, worker_config }, home } = self;
        let id = home.worker_id(rank);
        let pki = home.folder().join("pki").join(id.as_str());
        home.issue(rank)?.write(&pki)?;
        let mut further: Vec<String> = flags::lifeline().into();
        let device = match &owned.devices[..] {
            [one] => Some(one),
            many => many.get(rank as usize),
        };
        further.extend(device.map(|device| flags::device(device)).into_iter().flatten());
        further.extend(owned.args.iter().cloned());
        let flags = WorkerFlags {
            id: id.to_string(),
            rank: if home.fixed_ranks() { rank.to_string() } else { "auto".to_owned() },
            listen: "127.0.0.1:0",
            registry: home.section.url.clone(),
            pki: pki.display().to_string(),
            state_dir: home.folder().join("state").display().to_string(),
            further: &further,
        };
        let mut command = Command::new(program);
        let threads = match worker_config {
            Some(file) => {
                command.arg("--config").arg(file);
                // It says how many threads they have.
                0
            }
            None => share_of_cores(owned.count),
        };
        command.args(flags.args()).envs(home.variables(threads)?).envs(&owned.env);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C is this process's to hear.
        command.process_group(0).kill_on_drop(true);
        Ok(command)
    }

    fn spawn(&self, rank: u32) -> Result<Process, Error> {
        let starved = exit::out_of_memory_kills();
        let mut child = self
            .command(rank)?
            .spawn()
            .map_err(|source| Error::Program { program: self.program.clone(), source })?;
        tracing::info!(worker = %self.home.worker_id(rank), pid = child.id(), "started");
        let lines = LastLines::default();
        let reader = child.stderr.take().map(|output| {
            let lines = lines.clone();
            OwnedTask::spawn("worker output", |_| lines.follow(output))
        });
        Ok(Process { lifeline: child.stdin.take(), child, lines, reader, starved })
    }
}

#[async_trait]
impl Origin for Processes {
    async fn start(&self, rank: u32) -> Result<Box<dyn Run>, Exit> {
        match self.spawn(rank) {
            Ok(process) => Ok(Box::new(process)),
            Err(error) => Err(Exit {
                reason: format!("can't be started: {}", causes::in_one_line(&error)),
                lasting: is_lasting(&error),
            }),
        }
    }
}

/// Whether another start must fail as well: a program that is not there does, a system that is short
/// of memory or of processes need not.
fn is_lasting(error: &Error) -> bool {
    let Error::Program { source, .. } = error else { return false };
    matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
}

/// A running worker.
struct Process {
    child: Child,
    /// End of file on the other end tells the worker that its owner is gone.
    lifeline: Option<ChildStdin>,
    lines: LastLines,
    reader: Option<OwnedTask>,
    /// The kernel's count when it was started.
    starved: Option<u64>,
}

#[async_trait]
impl Run for Process {
    async fn ended(&mut self) -> Exit {
        match self.child.wait().await {
            Ok(status) => {
                if let Some(reader) = &mut self.reader {
                    let _ = tokio::time::timeout(LAST_LINES, reader.join()).await;
                }
                let starved = exit::out_of_memory_kills() > self.starved;
                exit::exit(status, starved, &self.lines.reason())
            }
            Err(error) => {
                Exit { reason: format!("could not be waited for ({error})"), lasting: false }
            }
        }
    }

    async fn stop(mut self: Box<Self>) {
        drop(self.lifeline.take());
        if tokio::time::timeout(END_LIMIT, self.child.wait()).await.is_err() {
            tracing::warn!(pid = self.child.id(), "a worker did not end in time: killed");
            if let Err(error) = self.child.kill().await {
                tracing::error!(%error, "a worker can't be killed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_system_short_of_something_is_tried_again_and_a_missing_program_is_not() {
        let lasting = |errno: Errno| {
            is_lasting(&Error::Program { program: "hearth-worker".into(), source: errno.into() })
        };
        assert!(lasting(Errno::NOENT) && lasting(Errno::ACCESS));
        assert!(!lasting(Errno::NOMEM) && !lasting(Errno::AGAIN) && !lasting(Errno::MFILE));
    }
}
