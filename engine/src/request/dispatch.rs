//! Gives items slots on workers: as the planner decides, under one lock, and counted for as long as
//! the item runs.
//!
//! All requests of an engine share one dispatcher, so that they see each other's load.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_api::{CallError, ErrorKind, Incarnation, Rank, WorkerId};
use hearth_protocol::message::Load;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::losses::Losses;
use crate::draw;
use crate::executor::Executor;
use crate::fleet::{self, FleetView, WorkerView};
use crate::planner::{self, Candidate, Constraints, Placement, Refusal};

/// Plans items on an executor's workers.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    executor: Arc<dyn Executor>,
    /// Chance, and what is held from planning until the slot is counted.
    planning: Arc<Mutex<fastrand::Rng>>,
    /// A slot has become free.
    freed: Arc<Notify>,
    /// The runs of workers that were lost to requests.
    losses: Arc<Mutex<Losses>>,
}

/// What an item asks of the workers.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) model: &'a str,
    /// Workers where it failed before.
    pub(super) avoided: &'a [WorkerId],
    /// Workers that had no place for it.
    pub(super) backoff: &'a Backoff,
}

/// A slot on a worker; free again when it is dropped.
pub(super) struct Slot {
    worker: Arc<WorkerView>,
    freed: Arc<Notify>,
}

impl Slot {
    pub(super) fn worker(&self) -> &WorkerId {
        &self.worker.id
    }

    pub(super) fn rank(&self) -> Option<Rank> {
        self.worker.rank
    }

    /// The worker's run.
    pub(super) fn run(&self) -> Option<Incarnation> {
        self.worker.incarnation
    }

    /// Learns from the worker that so many items run before this one, or beside it.
    pub(super) fn note_position(&self, position: u32) {
        let slots = self.worker.capacity.map_or(1, |capacity| capacity.slots);
        let running = if position > 0 { slots } else { 1 };
        note_items(&self.worker, running.saturating_add(position));
    }

    /// Learns from the worker that it has no place.
    pub(super) fn note_full(&self) {
        if let Some(capacity) = self.worker.capacity {
            note_items(&self.worker, capacity.slots.saturating_add(capacity.queue));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.worker.in_flight.remove();
        self.freed.notify_waiters();
    }
}

/// A worker has so many items in all.
pub(super) fn note_items(worker: &WorkerView, items: u32) {
    worker.backlog.note(items, worker.in_flight.get(), Instant::now().into_std());
}

impl Dispatcher {
    pub(crate) fn new(executor: Arc<dyn Executor>) -> Self {
        let planning = Arc::new(Mutex::new(draw::sequence()));
        Self { executor, planning, freed: Arc::default(), losses: Arc::default() }
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

    /// Whether every worker that could take an item of a model has turned it away for want of a
    /// place; if so, when the first is to be asked again, as far as each has said so.
    pub(super) fn all_full(&self, model: &str, backoff: &Backoff) -> Option<Option<Instant>> {
        let view = Arc::clone(&self.executor.fleet().borrow());
        let able: Vec<_> = view.ready().filter(|worker| worker.serves(Some(model))).collect();
        backoff.all_full(able.iter().map(|worker| &worker.id))
    }

    /// A number from 0 up to 1.
    pub(super) fn jitter(&self) -> f64 {
        self.planning().f64()
    }

    /// Two workers at random, of those that could take an item, other than `current`; none that has
    /// `position` items before a new one from this engine alone.
    pub(super) fn two_choices(
        &self,
        wish: Wish<'_>,
        current: &WorkerId,
        position: u32,
    ) -> Vec<Arc<WorkerView>> {
        let view = Arc::clone(&self.executor.fleet().borrow());
        let mut resting = wish.backoff.resting(Instant::now());
        let is_longer = |worker: &&Arc<WorkerView>| {
            let slots = worker.capacity.map_or(1, |capacity| capacity.slots);
            let own = Load { running: worker.in_flight.get(), ..Load::default() };
            worker.id == *current || own.ahead(slots) >= position
        };
        resting.extend(view.workers.iter().filter(is_longer).map(|worker| worker.id.clone()));
        let draw = self.planning().u64(..);
        let choices = planner::two_choices(&candidates(&view), &wish.constraints(&resting), draw);
        choices.into_iter().map(|index| Arc::clone(&view.workers[index])).collect()
    }

    /// A slot on this worker.
    pub(super) fn reserve(&self, worker: &Arc<WorkerView>) -> Slot {
        worker.in_flight.add();
        Slot { worker: Arc::clone(worker), freed: Arc::clone(&self.freed) }
    }

    fn planning(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.planning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot. If no worker could take the item at all, one may still come within
    /// `patience`: workers restart.
    ///
    /// # Errors
    /// As [`Dispatcher::model`], when `patience` is at its end.
    pub(super) async fn take(&self, wish: Wish<'_>, patience: Duration) -> Result<Slot, CallError> {
        let mut fleet = self.executor.fleet();
        let mut refused_until = None;
        loop {
            let freed = self.freed.notified();
            let mut freed = std::pin::pin!(freed);
            // From here on no release is missed.
            freed.as_mut().enable();
            let view = Arc::clone(&fleet.borrow_and_update());
            let now = Instant::now();
            let look_again = match self.try_take(&view, wish, now) {
                Ok(Some(slot)) => return Ok(slot),
                Ok(None) => {
                    refused_until = None;
                    wish.backoff.next(now)
                }
                Err(refusal) => {
                    let until = *refused_until.get_or_insert_with(|| now + patience);
                    if now >= until {
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
                () = sleep_until(look_again) => {}
            }
        }
    }

    fn try_take(
        &self,
        view: &FleetView,
        wish: Wish<'_>,
        now: Instant,
    ) -> Result<Option<Slot>, Refusal> {
        let resting = wish.backoff.resting(now);
        let mut planning = self.planning();
        let draw = planning.u64(..);
        match planner::place(&candidates(view), &wish.constraints(&resting), draw)? {
            Placement::Wait => Ok(None),
            Placement::On(index) => Ok(Some(self.reserve(&view.workers[index]))),
        }
    }
}

impl<'a> Wish<'a> {
    fn constraints(&self, resting: &'a [WorkerId]) -> Constraints<'a> {
        Constraints { model: self.model, avoided: self.avoided, excluded: resting }
    }
}

fn candidates(view: &FleetView) -> Vec<Candidate<'_>> {
    let now = Instant::now().into_std();
    view.workers.iter().map(|worker| Candidate::new(worker, now)).collect()
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
