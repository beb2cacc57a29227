//! One process of a local fleet: how it is started, watched and ended.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hearth_base::failure;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::exit::Failure;

/// Lines of a log that are shown when its process failed.
const TAIL_LINES: usize = 8;
const TAIL_BYTES: u64 = 16 * 1024;

/// A process that ends with this one.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) name: String,
    pub(super) log: PathBuf,
    child: Child,
    /// End of file on the other end tells the daemon that its owner is gone.
    _lifeline: Option<ChildStdin>,
}

/// How daemons are asked to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    pub(super) gently: CancellationToken,
    pub(super) firmly: CancellationToken,
}

impl Daemon {
    /// Starts `program --config CONFIG --lifeline`, with its output in `log`.
    pub(super) fn start(
        name: &str,
        program: &Path,
        config: &Path,
        log: &Path,
        env: &Environment,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let program = program.display();
            Failure::failed(format!("{program} can't be started")).caused_by(Some(&error))
        };
        let output = File::create(log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let mut command = Command::new(program);
        command
            .arg("--config")
            .arg(config)
            .arg("--lifeline")
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // This process handles Ctrl-C, and then asks the daemons to end.
            .process_group(0)
            .kill_on_drop(true);
        for name in &env.daemon_overrides {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(failed)?;
        let lifeline = child.stdin.take();
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child, _lifeline: lifeline })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end: by itself, or when asked, first by a signal and after `grace` by force.
    pub(super) async fn tend(mut self, stop: Stop, grace: Duration) -> Exit {
        tokio::select! {
            biased;
            status = self.child.wait() => return self.exit(status, false),
            () = stop.gently.cancelled() => self.terminate(),
        }
        tokio::select! {
            biased;
            status = self.child.wait() => return self.exit(status, true),
            () = stop.firmly.cancelled() => {}
            () = tokio::time::sleep(grace) => {
                tracing::warn!(daemon = self.name, ?grace, "it did not end in time: killed");
            }
        }
        let killed = self.child.kill().await;
        let status = match killed {
            Ok(()) => self.child.wait().await,
            Err(error) => Err(error),
        };
        self.exit(status, true)
    }

    fn terminate(&self) {
        // Not yet waited for, so the id is still this child's.
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }

    fn exit(self, status: io::Result<ExitStatus>, asked: bool) -> Exit {
        let (code, how) = match status {
            Ok(status) => (status.code(), describe(status)),
            Err(error) => (None, format!("could not be waited for ({error})")),
        };
        Exit { name: self.name, log: self.log, code, how, asked }
    }
}

/// How a daemon ended.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) name: String,
    pub(super) log: PathBuf,
    /// Its exit status; none where a signal ended it.
    pub(super) code: Option<i32>,
    /// `ended with status 2`, `was killed by signal 9`.
    pub(super) how: String,
    /// Whether it was asked to end.
    pub(super) asked: bool,
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(9)) => {
            "was killed by signal 9 (by hand, or the system ran out of memory)".to_owned()
        }
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    }
}

/// A daemon's last message: the error that it ended with, else the last lines of its log.
pub(super) fn last_words(log: &Path) -> Vec<String> {
    let bytes = read_end(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let error = lines.iter().rposition(|line| failure::is_error(line));
    let from = error.unwrap_or_else(|| lines.len().saturating_sub(TAIL_LINES));
    let said = lines[from..].iter().take(TAIL_LINES);
    said.map(|line| failure::bare(line).to_owned()).collect()
}

fn read_end(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = fs::metadata(log)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, text: &str) -> Daemon {
        use std::os::unix::fs::PermissionsExt as _;
        let program = folder.join("daemon.sh");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let (config, log) = (folder.join("c.toml"), folder.join("log"));
        Daemon::start("d", &program, &config, &log, &Environment::default()).unwrap()
    }

    #[tokio::test]
    async fn an_end_is_described_with_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let says = "echo INFO starts; echo error: config is wrong >&2; echo '  caused by: x' >&2";
        let daemon = script(folder.path(), &format!("{says}; exit 2"));
        let exit = daemon.tend(Stop::default(), Duration::from_secs(5)).await;
        assert_eq!((exit.code, exit.asked), (Some(2), false));
        assert_eq!(exit.how, "ended with status 2");
        assert_eq!(last_words(&exit.log), ["config is wrong", "x"]);
    }

    #[tokio::test]
    async fn it_is_asked_and_then_killed() {
        let polite = started("trap 'exit 0' TERM").await;
        let stop = Stop::default();
        stop.gently.cancel();
        let exit = polite.tend(stop.clone(), Duration::from_secs(10)).await;
        assert_eq!((exit.code, exit.asked), (Some(0), true));

        let deaf = started("trap '' TERM").await;
        stop.firmly.cancel();
        let exit = deaf.tend(stop, Duration::from_secs(60)).await;
        assert!(exit.how.contains("signal 9"), "{}", exit.how);
    }

    /// A daemon that already handles signals.
    async fn started(trap: &str) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{trap}; echo up; while :; do sleep 0.05; done");
        let daemon = script(folder.path(), &text);
        while last_words(&daemon.log).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        daemon
    }
}
