//! Processes of a test, which end with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A program that cargo built beside the tests.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    // target/<profile>/deps/<test> → target/<profile>/<program>
    let found =
        here.ancestors().skip(1).take(3).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: cargo build --workspace --bins"))
}

/// Waits until `ready` gives something.
///
/// # Panics
/// When it does not within `limit`.
pub fn until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal by its name, as in `TERM`. Not through `kill`, which is a package of its own.
///
/// # Panics
/// When the process is gone.
pub fn signal(pid: u32, name: &str) {
    let signal = match name {
        "CONT" => Signal::CONT,
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        _ => panic!("{name} is none of the signals that tests send"),
    };
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(raw, signal).unwrap_or_else(|error| panic!("{name} to {pid}: {error}"));
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with its output in the file `log`.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let out = file.try_clone().unwrap();
        command.stdin(Stdio::null()).stdout(out).stderr(file);
        let started = command.spawn();
        let name = command.get_program().to_string_lossy().into_owned();
        let child = started.unwrap_or_else(|error| panic!("{name} can't be started: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal by its name, as in `TERM`.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// How it ended; none while it runs.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let log = self.log.clone();
        let what = format!("the end of the process that writes {}", log.display());
        until(&what, limit, || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
