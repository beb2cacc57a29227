//! What the executor's tasks and callers share: the fleet's state, its view, the live links.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hearth_api::{CallError, ErrorKind, WorkerId};
use tokio::sync::{Notify, watch};

use super::link::Link;
use crate::fleet::{self, Fleet, FleetView};

/// Shared by everything of one executor.
pub(super) struct Shared {
    fleet: Mutex<Fleet>,
    view: watch::Sender<Arc<FleetView>>,
    links: RwLock<HashMap<WorkerId, Arc<Link>>>,
    /// A connection was lost: its worker may have left the fleet with it.
    pub(super) lost: Notify,
}

impl Shared {
    pub(super) fn new(fleet: Fleet) -> Self {
        let view = watch::Sender::new(Arc::new(fleet.view()));
        Self { fleet: Mutex::new(fleet), view, links: RwLock::default(), lost: Notify::new() }
    }

    /// The view, and its changes.
    pub(super) fn view(&self) -> watch::Receiver<Arc<FleetView>> {
        self.view.subscribe()
    }

    /// Reads the state.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Fleet) -> T) -> T {
        read(&self.fleet.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state and shows the new view.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Fleet) -> T) -> T {
        let mut fleet = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut fleet);
        // Under the lock, so that views come in the order of their states.
        self.view.send_replace(Arc::new(fleet.view()));
        result
    }

    /// The connection to a worker.
    ///
    /// # Errors
    /// `worker_lost` says why there is none.
    pub(super) fn link(&self, worker: &WorkerId) -> Result<Arc<Link>, CallError> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(worker) {
            return Ok(Arc::clone(link));
        }
        drop(links);
        Err(match self.view.borrow().worker(worker) {
            Some(known) => fleet::not_connected(known),
            None => CallError::new(ErrorKind::WorkerLost, "the worker left the registry")
                .at(worker, None),
        })
    }

    /// A worker is known to be gone, before its connection says so.
    pub(super) fn end(&self, worker: &WorkerId, cause: String) {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(worker) {
            link.end(cause);
        }
    }

    /// Lets calls use a link.
    pub(super) fn add(&self, link: Arc<Link>) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.insert(link.worker.clone(), link);
    }

    /// Takes a link out of use.
    pub(super) fn remove(&self, link: &Arc<Link>) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        if links.get(&link.worker).is_some_and(|known| Arc::ptr_eq(known, link)) {
            links.remove(&link.worker);
        }
    }
}
