//! How a daemon is told to end or to reload, and how it says why it could not go on, with how that is
//! read again. What it does meanwhile is its own business.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What asks a daemon to end: SIGTERM, SIGINT and, once, the end of standard input.
#[derive(Debug)]
pub struct EndRequests {
    terminate: Signal,
    interrupt: Signal,
    lifeline: bool,
}

impl EndRequests {
    /// Listens from now on. With `lifeline`, an owner's closing of standard input counts too.
    ///
    /// # Errors
    /// When the system refuses the signals.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen(lifeline: bool) -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())?, lifeline })
    }

    /// Waits for the next request. Only the first may be the end of standard input.
    pub async fn next(&mut self) {
        let lifeline = std::mem::take(&mut self.lifeline);
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = owner_gone(), if lifeline => tracing::info!("the owner is gone"),
        }
    }
}

/// What asks a daemon to look at its certificate and its log level again: SIGHUP.
#[derive(Debug)]
pub struct ReloadRequests(Signal);

impl ReloadRequests {
    /// Listens from now on; the signal ends the process no more.
    ///
    /// # Errors
    /// When the system refuses the signal.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next request; several at once count as one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn owner_gone() {
    let mut buffer = [0; 64];
    let mut stdin = tokio::io::stdin();
    while matches!(stdin.read(&mut buffer).await, Ok(1..)) {}
}

/// How a daemon's last error begins, and each of its causes.
const ERROR: &str = "error: ";
const CAUSE: &str = "caused by: ";

/// Whether a daemon's line of output is the error that it ended with, as [`fail`] writes it.
#[must_use]
pub fn is_error(line: &str) -> bool {
    line.starts_with(ERROR)
}

/// A line of [`fail`]'s without what marks it as an error or a cause; another line, trimmed.
#[must_use]
pub fn bare(line: &str) -> &str {
    let mut line = line.trim().trim_start_matches(ERROR).trim();
    while let Some(rest) = line.strip_prefix(CAUSE) {
        line = rest.trim();
    }
    line
}

/// Writes an error and its causes to standard error; gives exit status 2 for a fault of the
/// configuration, else 1.
#[must_use]
pub fn fail(error: &(dyn Error + 'static), configuration: bool) -> ExitCode {
    use io::Write as _;
    let mut stderr = io::stderr().lock();
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(stderr, "{ERROR}{error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = writeln!(stderr, "  {CAUSE}{next}");
        cause = next.source();
    }
    ExitCode::from(if configuration { 2 } else { 1 })
}
