//! The `mp` executor: worker processes on this host, owned by one engine.
//!
//! Each worker's standard input is a pipe that only the engine's process holds open: when that ends,
//! however it ends, the kernel closes the pipe and the worker ends at once. Nothing depends on a
//! thread's life, as a parent-death signal would.

mod exit;
mod process;

use std::sync::Arc;

use async_trait::async_trait;
use hearth_api::{CallError, WorkerId};
use tokio::sync::watch;

use super::owned::{Home, OwnedExecutor};
use super::{Error, Start};
use crate::executor::{CallStream, Executor, OutgoingCall};
use crate::fleet::FleetView;
use process::Processes;

/// Starts worker processes on this host and calls them; they end with it.
pub struct MpExecutor(OwnedExecutor);

impl MpExecutor {
    /// Starts `executor.workers` processes, and waits until they are registered. Where one can't
    /// be, those that were started are ended.
    ///
    /// # Errors
    /// [`Error::Program`] and [`Error::Worker`] say why a worker did not come up, [`Error::Late`]
    /// that it took longer than `executor.start_timeout`. Must be called on a tokio runtime.
    pub async fn start(start: &Start) -> Result<Self, Error> {
        let section = &start.executor;
        section.check()?;
        let section = section.mp();
        let home = Arc::new(Home::make(start, &section.owned, "mp")?);
        let processes = Processes::new(&section, Arc::clone(&home));
        let owned = OwnedExecutor::start(start, &section.owned, home, Arc::new(processes));
        Ok(Self(owned.await?))
    }
}

#[async_trait]
impl Executor for MpExecutor {
    fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.0.fleet()
    }

    async fn call(
        &self,
        worker: &WorkerId,
        call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError> {
        self.0.call(worker, call).await
    }

    /// Ends the processes and waits until they are gone.
    async fn close(&self) {
        self.0.close().await;
    }

    fn unended(&self) -> Option<String> {
        self.0.unended()
    }
}
