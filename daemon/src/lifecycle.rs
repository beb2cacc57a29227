//! How a daemon is told to end or to reload. What it does meanwhile is its own business.

use std::io;

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
