//! Drives a request's items side by side to the request's one end: all done, cancelled, at its
//! deadline, or failed.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::request::GenerationRequest;
use hearth_api::trace::TraceParent;
use hearth_api::{CallError, ErrorKind, FinishReason, RequestId};
use hearth_base::task::OwnedTask;
use hearth_telemetry::metrics::Outcome;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::job::Job;
use super::mailbox::Mailbox;
use super::output::RequestEvent;
use super::results::Results;
use super::submission::Submission;
use super::trial::Trial;
use crate::hooks::{self, Hook};
use crate::metrics::RequestTimer;

/// A request on its way.
pub(super) struct Drive {
    pub(super) dispatcher: Dispatcher,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) id: RequestId,
    pub(super) seed: u64,
    /// With id, model and seed.
    pub(super) request: GenerationRequest,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    pub(super) trace: TraceParent,
    /// The caller cancels.
    pub(super) cancel: CancellationToken,
    /// The engine is closed.
    pub(super) closing: CancellationToken,
    /// What the program does to each item.
    pub(super) hooks: Arc<[Box<dyn Hook>]>,
    /// Counts the request when it ends.
    pub(super) timer: Option<RequestTimer>,
    /// Whether its items wait where all workers are full.
    pub(super) waits: bool,
    /// The request's place among those under way.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Drive {
    /// Starts the request's one task.
    pub(super) fn start(self) -> Submission {
        Submission {
            id: self.id.clone(),
            seed: self.seed,
            items: self.request.images(),
            mailbox: Arc::clone(&self.mailbox),
            cancel: self.cancel.clone(),
            dispatcher: self.dispatcher.clone(),
            _task: OwnedTask::spawn("request", |_| self.run()),
        }
    }

    /// Runs until the end, which is the last event.
    async fn run(mut self) {
        let mut results = Results::new(self.request.images());
        let ended = tokio::select! {
            biased;
            () = self.cancel.cancelled() => {
                Some(CallError::new(ErrorKind::Cancelled, "the caller cancelled the request"))
            }
            () = self.closing.cancelled() => {
                Some(CallError::new(ErrorKind::Cancelled, "the engine was closed"))
            }
            () = tokio::time::sleep_until(self.deadline) => Some(self.late()),
            error = self.items(&mut results) => error,
        };
        if let Some(error) = ended {
            results.fill(&error, &self.mailbox);
        }
        let output = results.output(&self.id, self.seed, self.started);
        if let Some(timer) = self.timer.take() {
            timer.ended(outcome(output.finish_reason));
        }
        // Whoever learns of the end may submit the next.
        self.permit.take();
        self.mailbox.push(RequestEvent::Finished(output));
    }

    /// Makes the items. Returns early, with the error, if the others would fail with the same one.
    async fn items(&self, results: &mut Results) -> Option<CallError> {
        let Self { dispatcher, mailbox, request, deadline, .. } = self;
        let trial = Trial::new(self.id.clone(), dispatcher.losses());
        let (deadline, trace, waits) = (*deadline, self.trace, self.waits);
        let job = Job { dispatcher, mailbox, trial: &trial, request, deadline, trace, waits };
        let job = &job;
        let run = |index| async move {
            let result = match job.run(index).await {
                Ok(output) => hooks::apply_to_item(&self.hooks, request, output).await,
                Err(error) => Err(error),
            };
            (index, result)
        };
        let mut open: FuturesUnordered<_> = (0..request.images()).map(run).collect();
        while let Some((index, result)) = open.next().await {
            let fatal = result.as_ref().err().filter(|error| fails_request(error.kind)).cloned();
            results.set(index, result, mailbox);
            if fatal.is_some() {
                return fatal;
            }
        }
        None
    }

    fn late(&self) -> CallError {
        let limit = self.deadline.duration_since(self.started);
        let message = format!("the request was not done within {limit:?}: allow more time");
        CallError::new(ErrorKind::DeadlineExceeded, message)
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

fn outcome(reason: FinishReason) -> Outcome {
    match reason {
        FinishReason::Done => Outcome::Done,
        FinishReason::Cancelled => Outcome::Cancelled,
        FinishReason::Deadline => Outcome::Deadline,
        FinishReason::Error => Outcome::Error,
    }
}

/// Whether the error of one item is the request's fault, and so every item's.
fn fails_request(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidArgument
            | ErrorKind::UnknownMethod
            | ErrorKind::UnknownModel
            | ErrorKind::PermissionDenied
            | ErrorKind::IdConflict
            | ErrorKind::TooLarge
            | ErrorKind::Quarantined
            | ErrorKind::Cancelled
    )
}
