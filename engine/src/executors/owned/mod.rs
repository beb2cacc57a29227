//! Workers that an engine owns: started for it, started again when they die, ended with it.
//!
//! [`home`] is where they find each other: certificates, registry, folder. A [`keeper`]
//! looks after each rank, by the rule in [`restart`]; an [`Origin`] starts the workers. Calls go over
//! an [`ExternalExecutor`] that sees only these workers.

pub(super) mod flags;
mod folder;
mod home;
mod keeper;
mod lines;
mod origin;
mod restart;
#[cfg(feature = "launchers")]
pub mod workers;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hearth_api::{CallError, Rank, WorkerId};
use hearth_base::task::OwnedTask;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) use home::Home;
pub(super) use lines::LastLines;
pub(super) use origin::{Exit, Origin, Run, UNUSABLE};

use super::{Error, ExternalExecutor, ExternalOptions, Start};
use crate::config::OwnedSection;
use crate::executor::{CallStream, Executor, OutgoingCall};
use crate::fleet::{Condition, FleetView, WorkerStatus};
use keeper::Keeper;

/// Calls workers that it owns.
pub(super) struct OwnedExecutor {
    external: ExternalExecutor,
    keepers: Mutex<Option<OwnedTask>>,
    origin: Arc<dyn Origin>,
    home: Arc<Home>,
    ids: Vec<WorkerId>,
    /// What could not be ended, once it was closed.
    unended: Mutex<Option<String>>,
}

impl OwnedExecutor {
    /// Starts `executor.workers` workers and waits until they are registered. Where one can't be,
    /// or the start is asked to end, those that were started are ended.
    ///
    /// # Errors
    /// [`Error::Worker`] for one that ended for good, [`Error::Late`], [`Error::Stopped`].
    pub(super) async fn start(
        start: &Start,
        section: &OwnedSection,
        home: Arc<Home>,
        origin: Arc<dyn Origin>,
    ) -> Result<Self, Error> {
        let (count, timeout) = (section.count, section.start_timeout);
        let ids: Vec<_> = (0..count).map(|rank| home.worker_id(rank)).collect();
        let external = ExternalExecutor::start(
            ExternalOptions::new(
                Arc::clone(&home.registry),
                home.identity.clone(),
                start.agent.clone(),
            )
            .only(Some(ids.clone())),
        );
        let external = match external {
            Ok(external) => external,
            Err(error) => {
                origin.stop().await.map_err(|reason| Error::Unended { reason })?;
                return Err(error);
            }
        };
        let wards = external.wards();
        let keepers: Vec<_> = (0..count)
            .zip(&ids)
            .map(|(rank, id)| {
                let place = home.fixed_ranks().then_some(Rank(rank));
                wards.tell(id, place, Condition::Started);
                let (id, wards, origin) = (id.clone(), wards.clone(), Arc::clone(&origin));
                Keeper { id, rank, place, wards, origin }
            })
            .collect();
        let keepers = OwnedTask::spawn("owned workers", |cancel| keep_all(keepers, cancel));
        let (keepers, unended) = (Mutex::new(Some(keepers)), Mutex::default());
        let owned = Self { external, keepers, origin, home, ids, unended };
        let registered = tokio::select! {
            biased;
            () = start.stop.cancelled() => Err(Error::Stopped),
            registered = owned.registered(timeout) => registered,
        };
        match registered {
            Ok(()) => Ok(owned),
            Err(error) => {
                owned.close().await;
                Err(owned.unended().map_or(error, |reason| Error::Unended { reason }))
            }
        }
    }

    async fn registered(&self, timeout: Duration) -> Result<(), Error> {
        let mut fleet = self.external.fleet();
        let settled = fleet.wait_for(|view| {
            let of = |id| view.worker(id).map(|worker| &worker.status);
            let failed = |id| matches!(of(id), Some(WorkerStatus::Failed { .. }));
            let there = |id| of(id).is_some_and(WorkerStatus::is_connected);
            self.ids.iter().any(failed) || self.ids.iter().all(there)
        });
        let late = tokio::time::timeout(timeout, settled).await.is_err();
        let view = Arc::clone(&fleet.borrow());
        for worker in &view.workers {
            if let WorkerStatus::Failed { reason } = &worker.status {
                let (worker, reason) = (worker.id.clone(), reason.clone());
                return Err(Error::Worker { worker, reason });
            }
        }
        match late {
            false => Ok(()),
            true => Err(Error::Late { timeout, fleet: crate::fleet::lines(&view) }),
        }
    }
}

/// Keeps every rank until `cancel`, then stops them concurrently.
async fn keep_all(keepers: Vec<Keeper>, cancel: CancellationToken) {
    let mut tasks = JoinSet::new();
    for keeper in keepers {
        tasks.spawn(keeper.keep(cancel.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a worker's keeper failed");
        }
    }
}

#[async_trait]
impl Executor for OwnedExecutor {
    fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.external.fleet()
    }

    async fn call(
        &self,
        worker: &WorkerId,
        call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError> {
        self.external.call(worker, call).await
    }

    /// Ends the workers, waits until they have ended, and removes what was made for them.
    async fn close(&self) {
        // First, so that no ending connection is reported as a loss.
        self.external.close().await;
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keepers) = keepers {
            keepers.stop().await;
            match self.origin.stop().await {
                Ok(()) => self.home.remove(),
                // The launcher's own records are in the folder: another try needs them.
                Err(reason) => {
                    *self.unended.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                }
            }
        }
    }

    fn unended(&self) -> Option<String> {
        self.unended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
