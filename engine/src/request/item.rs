//! One item of a request: its attempts, on one worker after another, until it is there.

use std::time::Duration;

use hearth_api::{CallError, ErrorKind, WorkerId};
use hearth_protocol::methods::ItemIndex;
use tokio::time::Instant;

use super::attempt::{Attempt, Failure};
use super::backoff::Backoff;
use super::dispatch::Wish;
use super::job::Job;
use super::output::{ItemOutput, RequestEvent};

/// How often an item may fail in other ways than by a refusal. Workers that are lost to it have a
/// bound of their own, over all items of the request ([`Trial`]).
const FAILURES: u32 = 3;

/// How often workers may turn away an item before it starts, as draining ones do. One that has no
/// place for it is asked again as long as the request may take.
const REFUSALS: u32 = 16;

/// How long a worker that could take the item may be missing: restarts and reconnections.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before each further attempt, times its number: the worker may need a moment.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Job<'_> {
    /// Makes one item.
    ///
    /// # Errors
    /// The worker's error if trying again is no use; the last one after [`FAILURES`] or [`REFUSALS`];
    /// `quarantined` where too many workers were lost to the request; `queue_full` where no worker
    /// has a place, and the item does not wait or would wait in vain.
    pub(super) async fn run(&self, index: u32) -> Result<ItemOutput, CallError> {
        let item = ItemIndex { index, of: self.request.images() };
        let mut call = self.call(item)?;
        let mut failed_on: Vec<WorkerId> = Vec::new();
        let mut backoff = Backoff::default();
        let mut last_error = None;
        let (mut failures, mut refusals) = (0, 0);
        loop {
            let leave = match self.trial.leave(self.dispatcher.executor(), self.model()).await {
                Ok(leave) => leave,
                Err(error) => return Err(because(error, last_error)),
            };
            let lost = leave.lost.clone();
            if !lost.is_empty() {
                call.args = self.args(item, None, &lost)?;
            }
            let wish = Wish { model: self.model(), avoided: &failed_on, backoff: &backoff };
            let slot = match self.dispatcher.take(wish, PATIENCE).await {
                Ok(slot) => slot,
                // The last worker's error says more than that no worker is left.
                Err(error) => return Err(last_error.unwrap_or(error)),
            };
            let attempt = Attempt { job: self, item, call: &call, lost: &lost, wish };
            let Failure { worker, error } = match attempt.run(slot).await {
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            drop(leave);
            call.attempt += 1;
            if !error.retryable {
                return Err(error);
            }
            if error.kind == ErrorKind::QueueFull {
                if self.note_full(&mut backoff, &worker, &error)? {
                    self.retried(index, &worker, &error);
                } else {
                    tracing::debug!(id = %call.id, item = index, %error, "tried again");
                }
                last_error = Some(error);
                continue;
            }
            let count = if is_refusal(&error) { &mut refusals } else { &mut failures };
            *count += 1;
            if failures >= FAILURES || refusals >= REFUSALS {
                return Err(error);
            }
            self.retried(index, &worker, &error);
            failed_on.push(worker);
            last_error = Some(error);
            tokio::time::sleep((PAUSE * (failures + refusals)).min(LONGEST_PAUSE)).await;
        }
    }

    /// Says that an item is tried again.
    fn retried(&self, item: u32, from: &WorkerId, error: &CallError) {
        tracing::warn!(id = ?self.request.id, item, %error, "tried again");
        let (from, error) = (from.clone(), error.clone());
        self.mailbox.push(RequestEvent::Retried { item, from, error });
    }

    /// A worker has no place for an item. Says whether that is its first refusal.
    ///
    /// # Errors
    /// `queue_full` where all are full, if the item does not wait, or if none expects to have a place
    /// before its time is over.
    fn note_full(
        &self,
        backoff: &mut Backoff,
        worker: &WorkerId,
        error: &CallError,
    ) -> Result<bool, CallError> {
        let now = Instant::now();
        let hint = error.retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
        let is_first = backoff.refused(worker, hint, self.dispatcher.jitter(), now);
        let Some(due) = self.dispatcher.all_full(self.model(), backoff) else {
            return Ok(is_first);
        };
        if !self.waits {
            return Err(error.clone());
        }
        match due {
            Some(due) if due > self.deadline => Err(self.in_vain(due - now, now)),
            Some(_) | None => Ok(is_first),
        }
    }

    /// The error of an item whose time is over before a worker has a place for it.
    fn in_vain(&self, wait: Duration, now: Instant) -> CallError {
        let left = self.deadline.saturating_duration_since(now);
        let message = format!(
            "every worker is full: the first expects to have a place in {wait:.1?}, and the request \
             may take {left:.1?} more. Allow more time, or try again later"
        );
        let retry_after_ms = u32::try_from(wait.as_millis()).ok();
        CallError { retry_after_ms, ..CallError::new(ErrorKind::QueueFull, message) }
    }
}

/// A quarantine, with what the item failed for last.
fn because(quarantine: CallError, last: Option<CallError>) -> CallError {
    match last {
        Some(last) => quarantine.caused_by(&last),
        None => quarantine,
    }
}

/// Whether the worker turned the item away before it began, for another reason than want of a place.
fn is_refusal(error: &CallError) -> bool {
    use ErrorKind as E;
    matches!(error.kind, E::Overloaded | E::Draining | E::NotReady | E::StaleIncarnation)
}
