//! The table of parts: every image that this worker was asked for, from its arrival until its kept
//! result is forgotten. Callers and the engine meet here.
//!
//! A part outlives its callers: one that computes when its connection is lost is finished and
//! kept, one that waits gives its caller some time to come back. The rules are [`Table`]'s, which
//! has no clock and no lock; [`Parts`] adds both.

mod table;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_inference::session::Interrupt;
use hearth_protocol::message::Phase;
use hearth_protocol::methods::{GenerateArgs, Generated, RequestState, RequestSummary};
use hearth_protocol::{CallError, ErrorKind, RequestId};
use tokio::sync::watch;

use table::{Admitted, Table};
pub(crate) use table::{Bounds, Counts};

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

/// The table, shared between callers and the engine.
pub(crate) struct Parts {
    table: Mutex<Table>,
    work: Condvar,
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
        self.parts.lock().unsubscribe(&self.key, self.ticket, Instant::now());
    }
}

impl Subscription {
    /// Ends the part for `kind`, unless another caller waits for it too.
    pub(crate) fn give_up(&self, kind: ErrorKind) {
        self.parts.lock().give_up(&self.key, self.ticket, kind, Instant::now());
    }
}

/// What a caller asks for.
pub(crate) struct Wanted {
    pub(crate) args: GenerateArgs,
    pub(crate) key: PartKey,
    pub(crate) model: String,
    pub(crate) deadline: Option<Duration>,
}

impl Parts {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { table: Mutex::new(Table::new(bounds)), work: Condvar::new() })
    }

    /// A panic elsewhere leaves the table whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a part on, attaches to it where it is known already, or finds its kept result.
    pub(crate) fn subscribe(self: &Arc<Self>, wanted: Wanted) -> Result<Subscription, CallError> {
        let now = Instant::now();
        let key = wanted.key.clone();
        let Admitted { view, ticket } = self.lock().admit(wanted, now)?;
        // A new part, or an orphan that has a caller again.
        self.work.notify_one();
        Ok(Subscription { parts: Arc::clone(self), key, ticket, view })
    }

    /// The next part to compute. Waits for one when `wait`; none also once closed.
    pub(crate) fn next(&self, wait: bool) -> Option<Job> {
        let mut table = self.lock();
        loop {
            if let Some(job) = table.next() {
                return Some(job);
            }
            if !wait || table.is_closed() {
                return None;
            }
            table = self.work.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records how a part ended. An interrupted one ended for the reason that it was cancelled for.
    pub(crate) fn finish(
        &self,
        key: &PartKey,
        outcome: Result<Finished, Ended>,
    ) -> Option<ErrorKind> {
        self.lock().finish(key, outcome, Instant::now())
    }

    /// Ends all parts of a request that have not ended; says how many.
    pub(crate) fn cancel_request(&self, request: &RequestId) -> u32 {
        self.lock().cancel_request(request, Instant::now())
    }

    /// Ends everything, when the drain took too long.
    pub(crate) fn cancel_all(&self) {
        self.lock().cancel_all(Instant::now());
    }

    /// Refuses new parts from now on, or takes them again.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.lock().set_draining(draining);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.lock().is_draining()
    }

    /// Lets the engine end once nothing is left.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.work.notify_all();
    }

    /// Ends what has passed its deadline or lost its caller, forgets what was kept long enough.
    pub(crate) fn sweep(&self) {
        self.lock().sweep(Instant::now());
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts()
    }

    pub(crate) fn list(&self) -> Vec<RequestSummary> {
        self.lock().list(Instant::now())
    }
}

/// Why a part ended without a result.
pub(crate) enum Ended {
    /// Its interrupt was thrown.
    Interrupted,
    /// It failed.
    Failed(CallError),
}
