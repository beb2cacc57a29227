//! A request is on trial until it has shown that workers live through it.
//!
//! At most so many workers may be lost to one request ([`limits::LOST_WORKERS`]); then it is
//! quarantined. As items run side by side, no more may compute it at once before that is known: its
//! first items go out to as many workers as may still be lost, the others once one of these has
//! computed for a second, or is done. After a loss only an item that is done is a proof. Where there
//! are no more workers than that, nothing is held back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hearth_api::{CallError, ErrorKind, Incarnation, RequestId, WorkerId, limits};
use tokio::sync::Notify;

use super::losses::{Losses, LostRun};
use crate::executor::{CallEvent, CallStream, Executor};
use crate::fleet::FleetView;

/// How long an item must have computed to be a proof.
const PROOF: Duration = Duration::from_secs(1);

/// What a request's items have shown. Pure.
#[derive(Debug, Default)]
struct Exposure {
    /// Items that workers have, or that are about to be given to one.
    out: usize,
    /// A worker was lost to it.
    has_lost: bool,
    /// Workers live through it.
    is_proven: bool,
    /// Since when items have computed.
    since: BTreeMap<u32, Instant>,
}

impl Exposure {
    /// Whether a further item may go out, with so many `workers` ready for it and so many `lost`.
    fn has_room(&self, workers: usize, lost: usize) -> bool {
        let most = limits::LOST_WORKERS.saturating_sub(lost);
        self.is_proven || self.out < most || workers <= most
    }

    /// An item computes; says whether that proves anything new.
    fn computes(&mut self, item: u32, now: Instant) -> bool {
        let since = *self.since.entry(item).or_insert(now);
        let lasts = now.saturating_duration_since(since) >= PROOF;
        let proves = lasts && !self.has_lost && !self.is_proven;
        self.is_proven |= proves;
        proves
    }

    fn done(&mut self) {
        self.is_proven = true;
    }

    fn lost(&mut self) {
        (self.has_lost, self.is_proven) = (true, false);
        self.since.clear();
    }
}

/// One request's trial, which its items share.
pub(super) struct Trial {
    request: RequestId,
    losses: Arc<Mutex<Losses>>,
    exposure: Mutex<Exposure>,
    changed: Notify,
}

/// An item's leave to go out; another may have it when it is dropped.
pub(super) struct Leave<'a> {
    trial: &'a Trial,
    /// The runs that were lost to the request.
    pub(super) lost: Vec<Incarnation>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.trial.change(|exposure| exposure.out -= 1);
    }
}

impl Trial {
    pub(super) fn new(request: RequestId, losses: Arc<Mutex<Losses>>) -> Arc<Self> {
        let (exposure, changed) = (Mutex::default(), Notify::new());
        Arc::new(Self { request, losses, exposure, changed })
    }

    fn exposure(&self) -> MutexGuard<'_, Exposure> {
        self.exposure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Exposure)) {
        change(&mut self.exposure());
        self.changed.notify_waiters();
    }

    /// The runs that were lost to the request.
    ///
    /// # Errors
    /// `quarantined` once they are too many.
    fn lost(&self, view: &FleetView) -> Result<BTreeSet<Incarnation>, CallError> {
        let losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = losses.runs(&self.request, view, Instant::now());
        if lost.len() < limits::LOST_WORKERS {
            return Ok(lost);
        }
        Err(CallError::quarantined(&self.request, lost.len()))
    }

    /// Waits until an item may go out to a worker that serves `model`.
    ///
    /// # Errors
    /// `quarantined`.
    pub(super) async fn leave(
        &self,
        executor: &dyn Executor,
        model: &str,
    ) -> Result<Leave<'_>, CallError> {
        let mut fleet = executor.fleet();
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let view = Arc::clone(&fleet.borrow_and_update());
            let lost = self.lost(&view)?;
            let able = view.ready().filter(|worker| worker.serves(Some(model))).count();
            {
                let mut exposure = self.exposure();
                if exposure.has_room(able, lost.len()) {
                    exposure.out += 1;
                    return Ok(Leave { trial: self, lost: lost.into_iter().collect() });
                }
            }
            tokio::select! {
                biased;
                () = changed => {}
                // An executor that is closed fails the item when it is placed.
                changed = fleet.changed() => if changed.is_err() {
                    self.exposure().out += 1;
                    return Ok(Leave { trial: self, lost: lost.into_iter().collect() });
                },
            }
        }
    }

    /// Follows an item's call on a run of a worker.
    pub(super) fn watch(
        self: &Arc<Self>,
        item: u32,
        worker: WorkerId,
        run: Option<Incarnation>,
        stream: Box<dyn CallStream>,
    ) -> Box<dyn CallStream> {
        Box::new(CallOnTrial { trial: Arc::clone(self), item, worker, run, stream, waits: false })
    }

    fn note_loss(&self, worker: &WorkerId, run: Option<Incarnation>, confessed: bool) {
        if let Some(run) = run {
            let lost = LostRun { worker: worker.clone(), run, confessed };
            let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
            losses.note(&self.request, lost, Instant::now());
        }
        self.change(Exposure::lost);
    }
}

/// A call whose events are evidence.
struct CallOnTrial {
    trial: Arc<Trial>,
    item: u32,
    worker: WorkerId,
    run: Option<Incarnation>,
    stream: Box<dyn CallStream>,
    /// The worker has said that others run before it, and not that it has begun.
    waits: bool,
}

#[async_trait]
impl CallStream for CallOnTrial {
    async fn next(&mut self) -> Result<CallEvent, CallError> {
        let event = self.stream.next().await;
        let (outcome, confessed) = match &event {
            Ok(CallEvent::Accepted { queue_position, .. }) => {
                self.waits = *queue_position > 0;
                return event;
            }
            Ok(CallEvent::Progress(_)) => {
                self.waits = false;
                if self.trial.exposure().computes(self.item, Instant::now()) {
                    self.trial.changed.notify_waiters();
                }
                return event;
            }
            Ok(CallEvent::Preview(..)) => return event,
            Ok(CallEvent::Reply(reply)) => (reply.outcome.as_ref().map(drop), true),
            Err(error) => (Err(error), false),
        };
        match outcome {
            Ok(()) => self.trial.change(Exposure::done),
            Err(error) if error.kind == ErrorKind::WorkerLost && !self.waits => {
                self.trial.note_loss(&self.worker, self.run, confessed);
            }
            Err(_) => {}
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_workers_compute_an_unproven_request_than_may_be_lost() {
        let start = Instant::now();
        let out = |out| Exposure { out, ..Exposure::default() };
        // Workers that are ready, workers lost, items that are out: whether one more may go.
        for (workers, lost, items, may) in [
            (4, 0, 0, true),
            (4, 0, 1, true),
            (4, 0, 2, false),
            (4, 1, 0, true),
            (4, 1, 1, false),
            (2, 0, 9, true),
            (2, 1, 1, false),
            (1, 1, 9, true),
        ] {
            let row = (workers, lost, items);
            assert_eq!(out(items).has_room(workers, lost), may, "{row:?}");
        }
        // One that has computed for a second proves it, as one that is done does.
        let mut exposure = out(2);
        assert!(!exposure.computes(0, start));
        assert!(!exposure.computes(1, start + PROOF / 2));
        assert!(!exposure.has_room(4, 0));
        assert!(exposure.computes(0, start + PROOF));
        assert!(!exposure.computes(0, start + PROOF));
        assert!(exposure.has_room(4, 0));
    }

    #[test]
    fn after_a_loss_only_an_item_that_is_done_is_a_proof() {
        let start = Instant::now();
        let mut exposure = Exposure { out: 2, ..Exposure::default() };
        exposure.done();
        exposure.lost();
        assert!(!exposure.computes(1, start));
        assert!(!exposure.computes(1, start + 10 * PROOF));
        assert!(!exposure.has_room(4, 1));
        exposure.done();
        assert!(exposure.has_room(4, 1));
    }
}
