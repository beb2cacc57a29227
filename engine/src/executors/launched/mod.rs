//! The `launched` executor: replicas through a launcher, owned by one engine.
//!
//! [`spec`] says what is launched, [`replicas`] follows it. The engine holds its name in the
//! registry: a replica elsewhere ends once the name and the engine's connection have been gone for
//! `owner_grace`. Whatever ends the executor, [`Replicas`] cancels what it has launched.

mod replicas;
mod spec;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hearth_api::{CallError, WorkerId};
use hearth_launchers::{Launcher, Launchers, Options, StateDir, kubernetes};
use tokio::sync::watch;

use super::owned::{Home, Origin as _, OwnedExecutor};
use super::{Error, Start};
use crate::config::ExecutorSection;
use crate::executor::{CallStream, Executor, OutgoingCall};
use crate::fleet::FleetView;
use replicas::{Guard, Replicas};
use spec::Plan;

/// How long the engine's name may take to be in the registry.
const CLAIM: Duration = Duration::from_secs(15);

/// Starts replicas through a launcher and calls them; they end with it.
pub struct LaunchedExecutor {
    owned: OwnedExecutor,
    /// Cancels what is left when this is dropped.
    _guard: Guard,
}

impl LaunchedExecutor {
    /// Starts `executor.workers` replicas through the launcher that `executor.launcher` names, and
    /// waits until they are registered.
    ///
    /// # Errors
    /// As [`LaunchedExecutor::start_with`], and [`Error::Launch`] for a name that no launcher has.
    pub async fn start(start: &Start) -> Result<Self, Error> {
        let named = |state| {
            let launchers = Launchers::new(state, options(&start.executor));
            launchers.by_name(&start.executor.launcher).map(Arc::from)
        };
        Self::prepare(start, named).await
    }

    /// Starts `executor.workers` replicas through a launcher, and waits until they are registered.
    /// `launcher` is given the folder to keep its launches in. Where a replica can't be started,
    /// those that were are ended.
    ///
    /// # Errors
    /// [`Error::Launch`] is the launcher's; [`Error::Worker`] a replica's that ended for good;
    /// [`Error::Late`] where they took longer than `executor.start_timeout`; [`Error::Stopped`]
    /// once [`Start::stop`] is cancelled. Must be called on a tokio runtime.
    pub async fn start_with(
        start: &Start,
        launcher: impl FnOnce(StateDir) -> Arc<dyn Launcher>,
    ) -> Result<Self, Error> {
        Self::prepare(start, |state| Ok(launcher(state))).await
    }

    async fn prepare(
        start: &Start,
        launcher: impl FnOnce(StateDir) -> Result<Arc<dyn Launcher>, hearth_launchers::Error>,
    ) -> Result<Self, Error> {
        let section = &start.executor;
        section.check()?;
        let section = section.launched();
        let home = Arc::new(Home::make(start, &section.owned, "launched")?);
        let state = StateDir::new(home.folder().join("replicas"));
        let launcher = launcher(state.clone())?;
        let plan = Plan::new(&section, Arc::clone(&home), &*launcher)?;
        let claim = home.registry.own(&home.owner());
        tokio::select! {
            biased;
            () = start.stop.cancelled() => return Err(Error::Stopped),
            held = tokio::time::timeout(CLAIM, claim.held()) => {
                held.map_err(|_| Error::Unowned { registry: home.registry.target() })?;
            }
        }

        let replicas = Arc::new(Replicas::new(launcher, plan, state, claim));
        // From here on, whatever happens, nothing that was launched is left.
        let guard = Guard::new(Arc::clone(&replicas));
        // Not cut off by a stop: what a launch has begun would be nobody's.
        if let Err(error) = replicas.launch_all().await {
            replicas.stop().await.map_err(|reason| Error::Unended { reason })?;
            return Err(error);
        }
        Ok(Self {
            owned: OwnedExecutor::start(start, &section.owned, home, replicas).await?,
            _guard: guard,
        })
    }
}

/// What the launchers are told.
fn options(section: &ExecutorSection) -> Options {
    let gpu_node_selector = section.kubernetes.gpu_node_selector.clone();
    let kubernetes = kubernetes::Config { gpu_node_selector, ..kubernetes::Config::default() };
    let command = section.command.clone().unwrap_or_default();
    Options { kubernetes, command, ..Options::default() }
}

#[async_trait]
impl Executor for LaunchedExecutor {
    fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.owned.fleet()
    }

    async fn call(
        &self,
        worker: &WorkerId,
        call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError> {
        self.owned.call(worker, call).await
    }

    /// Ends the replicas and waits until they have ended.
    async fn close(&self) {
        self.owned.close().await;
    }

    fn unended(&self) -> Option<String> {
        self.owned.unended()
    }
}
