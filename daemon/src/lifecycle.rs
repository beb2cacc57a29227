//! How a daemon is told to end or to reload. What it does meanwhile is its own business.

use std::error::Error;
use std::io;
use std::sync::Arc;

use hearth_base::{causes, files};
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

    /// Reloads at each request, for as long as the future is polled; several requests at once count
    /// as one. `reload` reads files, so it has a thread that may wait. It gives the fingerprint of the
    /// certificate that it has taken up, if any. What fails stays as it was, and is logged.
    pub async fn serve<E>(
        mut self,
        reload: impl Fn() -> Result<Option<String>, E> + Send + Sync + 'static,
    ) where
        E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        let reload = Arc::new(reload);
        while self.0.recv().await.is_some() {
            let reload = Arc::clone(&reload);
            let reloaded = match files::run_blocking(move || reload()).await {
                Ok(reloaded) => reloaded.map_err(Into::into),
                Err(error) => Err(error.into()),
            };
            match reloaded {
                Ok(certificate) => {
                    tracing::info!(certificate, "certificate and log level are reloaded");
                }
                Err(error) => {
                    let error = causes::in_one_line(error.as_ref());
                    tracing::error!(error, "what can't be reloaded stays as it was");
                }
            }
        }
    }
}

async fn owner_gone() {
    let mut buffer = [0; 64];
    let mut stdin = tokio::io::stdin();
    while matches!(stdin.read(&mut buffer).await, Ok(1..)) {}
}
