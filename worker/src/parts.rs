//! The table of parts: every image that this worker was asked for, from its arrival until its kept
//! result is forgotten. Callers and the engine meet here.
//!
//! A part outlives its callers: one that computes when its connection is lost is finished and
//! kept, one that waits gives its caller some time to come back. The rules are [`Table`]'s, which
//! has no clock and no lock; [`Parts`] adds both.

mod table;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_inference::model::PreparedRequest;
use hearth_inference::session::Interrupt;
use hearth_protocol::message::Phase;
use hearth_protocol::methods::{GenerateArgs, Generated, Part, RequestState, RequestSummary};
use hearth_telemetry::metrics::Outcome;

use crate::metrics::WorkerMetrics;
use tokio::sync::watch;

use crate::engine::Order;
use table::Admitted;
pub(crate) use table::{Bounds, Counts, Table};

/// One image of one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PartKey {
    pub(crate) request: RequestId,
    pub(crate) index: u32,
}

/// What a caller is told of a part; always the newest.
#[derive(Debug, Clone)]
pub(crate) struct PartView {
    pub(crate) state: RequestState,
    pub(crate) queue_position: u32,
    pub(crate) phase: Phase,
    pub(crate) step: u32,
    pub(crate) steps: u32,
    pub(crate) preview: Option<PreviewImage>,
    pub(crate) outcome: Option<Arc<Result<Finished, CallError>>>,
}

/// A picture of an unfinished part.
#[derive(Debug, Clone)]
pub(crate) struct PreviewImage {
    pub(crate) step: u32,
    pub(crate) png: Bytes,
}

/// A part's result.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) value: Generated,
    pub(crate) bytes: Bytes,
}

/// A part as the engine gets it.
pub(crate) struct Job {
    pub(crate) key: PartKey,
    pub(crate) args: Arc<GenerateArgs>,
    /// None where the model wasn't loaded when it was admitted.
    pub(crate) prepared: Option<PreparedRequest>,
    pub(crate) model: String,
    pub(crate) interrupt: Interrupt,
    pub(crate) accepted_at: Instant,
    view: watch::Sender<PartView>,
}

impl Job {
    /// Says how far the part is.
    pub(crate) fn progress(&self, phase: Phase, step: usize, steps: usize) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.view.send_modify(|view| {
            view.phase = phase;
            view.step = count(step);
            view.steps = count(steps);
        });
    }

    /// Shows an unfinished picture.
    pub(crate) fn preview(&self, preview: PreviewImage) {
        self.view.send_modify(|view| view.preview = Some(preview));
    }

    /// Whether a caller listens at this moment.
    pub(crate) fn is_watched(&self) -> bool {
        self.view.receiver_count() > 0
    }
}

/// Most orders that wait for the engine.
const ORDERS: usize = 16;

/// The table, shared between callers and the engine.
pub(crate) struct Parts {
    state: Mutex<State>,
    work: Condvar,
    metrics: WorkerMetrics,
}

struct State {
    table: Table,
    /// What the engine is to do besides, oldest first.
    orders: VecDeque<Order>,
}

/// What the engine does next.
pub(crate) enum Work {
    Order(Order),
    Part(Job),
}

/// A caller's hold on a part. Dropped, the part knows that the caller has gone.
pub(crate) struct Subscription {
    parts: Arc<Parts>,
    key: PartKey,
    ticket: u64,
    pub(crate) view: watch::Receiver<PartView>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.parts.with(|table| table.unsubscribe(&self.key, self.ticket, Instant::now()));
    }
}

impl Subscription {
    /// Ends the part for `kind`, unless another caller waits for it too.
    pub(crate) fn give_up(&self, kind: ErrorKind) {
        self.parts.with(|table| table.give_up(&self.key, self.ticket, kind, Instant::now()));
    }
}

/// What a caller asks for.
pub(crate) struct Wanted {
    pub(crate) args: GenerateArgs,
    pub(crate) prepared: Option<PreparedRequest>,
    pub(crate) key: PartKey,
    pub(crate) model: String,
    pub(crate) deadline: Option<Duration>,
}

impl Parts {
    pub(crate) fn new(bounds: Bounds, metrics: WorkerMetrics) -> Arc<Self> {
        let state = State { table: Table::new(bounds), orders: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state), work: Condvar::new(), metrics })
    }

    /// A panic elsewhere leaves the table whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table, and counts what has ended by that.
    fn with<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let (changed, ended) = {
            let mut state = self.lock();
            (change(&mut state.table), state.table.take_ended())
        };
        if !ended.is_empty() {
            // An order may have waited for that.
            self.work.notify_one();
        }
        for (kind, duration) in ended {
            let outcome = match kind {
                None => Outcome::Done,
                Some(ErrorKind::Cancelled) => Outcome::Cancelled,
                Some(ErrorKind::DeadlineExceeded) => Outcome::Deadline,
                Some(_) => Outcome::Error,
            };
            self.metrics.request_ended(outcome, duration);
        }
        changed
    }

    /// Takes a part on, attaches to it where it is known already, or finds its kept result.
    pub(crate) fn subscribe(self: &Arc<Self>, wanted: Wanted) -> Result<Subscription, CallError> {
        let now = Instant::now();
        let key = wanted.key.clone();
        let admitted = self.with(|table| table.admit(wanted, now));
        let Admitted { view, ticket } = admitted.inspect_err(|_| self.count_refused())?;
        // A new part, or an orphan that has a caller again.
        self.work.notify_one();
        Ok(Subscription { parts: Arc::clone(self), key, ticket, view })
    }

    /// Takes up parts of a request again that run, wait or are kept: those of `index`, or all.
    pub(crate) fn attach(
        self: &Arc<Self>,
        request: &RequestId,
        index: Option<u32>,
    ) -> Result<Vec<(Part, Subscription)>, CallError> {
        let attached = self.with(|table| table.attach(request, index))?;
        self.work.notify_one();
        let held = |(key, part, Admitted { view, ticket })| {
            (part, Subscription { parts: Arc::clone(self), key, ticket, view })
        };
        Ok(attached.into_iter().map(held).collect())
    }

    /// Whether a part runs, waits or has a kept result.
    pub(crate) fn holds(&self, key: &PartKey) -> bool {
        self.lock().table.holds(key)
    }

    /// Counts a request that was refused before it was queued.
    pub(crate) fn count_refused(&self) {
        self.metrics.request_ended(Outcome::Rejected, Duration::ZERO);
    }

    /// Gives the engine an order of a caller's.
    ///
    /// # Errors
    /// `queue_full`, `draining` once closed.
    pub(crate) fn order(&self, order: Order) -> Result<(), CallError> {
        let mut state = self.lock();
        if state.table.is_closed() {
            return Err(CallError::new(ErrorKind::Draining, "the worker ends: ask another one"));
        }
        if state.orders.len() >= ORDERS {
            let message = format!("{ORDERS} such calls wait, the most at once: try again later");
            return Err(CallError::new(ErrorKind::QueueFull, message));
        }
        state.orders.push_back(order);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Tells the engine of what another of the worker's threads has done: as much as it was asked to.
    pub(crate) fn report(&self, order: Order) {
        self.lock().orders.push_front(order);
        self.work.notify_one();
    }

    /// Takes orders back that the engine has not begun.
    pub(crate) fn take_back(&self, these: impl Fn(&Order) -> bool) -> Vec<Order> {
        let mut state = self.lock();
        let (taken, left): (VecDeque<_>, _) =
            std::mem::take(&mut state.orders).into_iter().partition(|order| these(order));
        state.orders = left;
        taken.into()
    }

    /// What to do next: an order whose time has come, or a part where there is room for one. Waits
    /// for it when `wait`; none also once closed.
    pub(crate) fn next(&self, room: bool, wait: bool) -> Option<Work> {
        let mut state = self.lock();
        loop {
            let State { table, orders } = &mut *state;
            let due = orders.iter().position(|order| order.is_due(table));
            if let Some(order) = due.and_then(|position| orders.remove(position)) {
                return Some(Work::Order(order));
            }
            if room && let Some(job) = table.next() {
                return Some(Work::Part(job));
            }
            if !wait || table.is_closed() {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records how a part ended. An interrupted one ended for the reason that it was cancelled for.
    pub(crate) fn finish(&self, key: &PartKey, outcome: Result<Finished, Ended>) {
        self.with(|table| table.finish(key, outcome, Instant::now()));
    }

    /// Ends all parts of a request that have not ended; says how many.
    pub(crate) fn cancel_request(&self, request: &RequestId) -> u32 {
        self.with(|table| table.cancel_request(request, Instant::now()))
    }

    /// Ends everything, when the drain took too long.
    pub(crate) fn cancel_all(&self) {
        self.with(|table| table.cancel_all(Instant::now()));
    }

    /// Refuses new parts from now on, or takes them again.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.lock().table.set_draining(draining);
    }

    /// Refuses new parts while the worker sleeps.
    pub(crate) fn set_asleep(&self, asleep: bool) {
        self.lock().table.set_asleep(asleep);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.lock().table.is_draining()
    }

    /// Lets the engine end once nothing is left.
    pub(crate) fn close(&self) {
        self.lock().table.close();
        self.work.notify_all();
    }

    /// Ends what has passed its deadline or lost its caller, forgets what was kept long enough.
    pub(crate) fn sweep(&self) {
        self.with(|table| table.sweep(Instant::now()));
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().table.counts()
    }

    pub(crate) fn list(&self) -> Vec<RequestSummary> {
        self.lock().table.list(Instant::now())
    }
}

/// Why a part ended without a result.
pub(crate) enum Ended {
    /// Its interrupt was thrown.
    Interrupted,
    /// It failed.
    Failed(CallError),
}
