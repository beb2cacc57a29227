//! Gives items slots on workers: as the planner decides, under one lock, and counted for as long as
//! the item runs.
//!
//! All requests of an engine share one dispatcher, so that they see each other's load.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hearth_api::{CallError, ErrorKind, Incarnation, Rank, WorkerId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::losses::Losses;
use crate::executor::Executor;
use crate::fleet::{self, FleetView, InFlight};
use crate::planner::{self, Candidate, Placement, Refusal};

/// Plans items on an executor's workers.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    executor: Arc<dyn Executor>,
    /// Held from planning until the slot is counted.
    planning: Arc<Mutex<()>>,
    /// A slot has become free.
    freed: Arc<Notify>,
    /// The runs of workers that were lost to requests.
    losses: Arc<Mutex<Losses>>,
}

/// A slot on a worker; free again when it is dropped.
pub(super) struct Slot {
    pub(super) worker: WorkerId,
    pub(super) rank: Option<Rank>,
    /// The worker's run.
    pub(super) run: Option<Incarnation>,
    count: InFlight,
    freed: Arc<Notify>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.count.remove();
        self.freed.notify_waiters();
    }
}

impl Dispatcher {
    pub(crate) fn new(executor: Arc<dyn Executor>) -> Self {
        Self { executor, planning: Arc::default(), freed: Arc::default(), losses: Arc::default() }
    }

    pub(crate) fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    /// What all requests of this engine know of lost workers.
    pub(super) fn losses(&self) -> Arc<Mutex<Losses>> {
        Arc::clone(&self.losses)
    }

    /// The model that a request means.
    ///
    /// # Errors
    /// `unknown_model`, `invalid_argument` where several are meant, `no_worker`.
    pub(crate) fn model(&self, asked: Option<&str>) -> Result<String, CallError> {
        let view = Arc::clone(&self.executor.fleet().borrow());
        planner::model(&candidates(&view), asked).map_err(|refusal| explain(refusal, &view))
    }

    /// Waits for a slot. If no worker could take the item at all, one may still come within
    /// `patience`: workers restart.
    ///
    /// # Errors
    /// As [`Dispatcher::model`], when `patience` is at its end.
    pub(super) async fn take(
        &self,
        model: &str,
        avoid: &[WorkerId],
        patience: Duration,
    ) -> Result<Slot, CallError> {
        let mut fleet = self.executor.fleet();
        let mut refused_until = None;
        loop {
            let freed = self.freed.notified();
            let mut freed = std::pin::pin!(freed);
            // From here on no release is missed.
            freed.as_mut().enable();
            let view = Arc::clone(&fleet.borrow_and_update());
            let give_up = match self.try_take(&view, model, avoid) {
                Ok(Some(slot)) => return Ok(slot),
                Ok(None) => {
                    refused_until = None;
                    None
                }
                Err(refusal) => {
                    let until = *refused_until.get_or_insert_with(|| Instant::now() + patience);
                    if Instant::now() >= until {
                        return Err(explain(refusal, &view));
                    }
                    Some(until)
                }
            };
            tokio::select! {
                biased;
                () = freed => {}
                changed = fleet.changed() => if changed.is_err() {
                    return Err(fleet::no_worker(&view, "the executor is closed"));
                },
                () = sleep_until(give_up) => {}
            }
        }
    }

    fn try_take(
        &self,
        view: &FleetView,
        model: &str,
        avoid: &[WorkerId],
    ) -> Result<Option<Slot>, Refusal> {
        let _planning = self.planning.lock().unwrap_or_else(PoisonError::into_inner);
        match planner::place(&candidates(view), model, avoid)? {
            Placement::Wait => Ok(None),
            Placement::On(index) => {
                let worker = &view.workers[index];
                worker.in_flight.add();
                Ok(Some(Slot {
                    worker: worker.id.clone(),
                    rank: worker.rank,
                    run: worker.incarnation,
                    count: worker.in_flight.clone(),
                    freed: Arc::clone(&self.freed),
                }))
            }
        }
    }
}

fn candidates(view: &FleetView) -> Vec<Candidate<'_>> {
    view.workers.iter().map(|worker| Candidate::from(&**worker)).collect()
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn explain(refusal: Refusal, view: &FleetView) -> CallError {
    let message = refusal.to_string();
    match refusal {
        Refusal::UnknownModel { .. } => {
            let error = CallError::new(ErrorKind::UnknownModel, message);
            CallError { param: Some("model".to_owned()), ..error }
        }
        Refusal::WhichModel { .. } => CallError::invalid("model", message),
        Refusal::NoneReady { .. } => fleet::no_worker(view, &message),
    }
}
