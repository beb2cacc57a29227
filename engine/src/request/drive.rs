//! Drives a request's images side by side to the request's one end: all there, cancelled, at its
//! deadline, or failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::FinishReason;
use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_telemetry::metrics::Outcome;

use crate::metrics::RequestTimer;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::mailbox::Mailbox;
use super::part::Job;
use super::{ImageOutput, RequestEvent, RequestOutput};
use crate::hooks::{self, Hook};

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
    /// The caller cancels.
    pub(super) cancel: CancellationToken,
    /// The engine is closed.
    pub(super) closing: CancellationToken,
    /// What the program does to each image.
    pub(super) hooks: Arc<[Box<dyn Hook>]>,
    /// Counts the request when it ends.
    pub(super) timer: Option<RequestTimer>,
    /// The request's place among those under way.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// What is known of a request's images.
pub(super) struct Results {
    images: Vec<Option<Result<ImageOutput, CallError>>>,
    /// What failed first.
    error: Option<CallError>,
}

impl Drive {
    /// Runs until the end, which is the last event.
    pub(super) async fn run(mut self) {
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
            error = self.images(&mut results) => error,
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

    /// Makes the images. Returns early, with the reason, where the others would fail of the same.
    async fn images(&self, results: &mut Results) -> Option<CallError> {
        let Self { dispatcher, mailbox, request, deadline, .. } = self;
        let job = Job { dispatcher, mailbox, request, deadline: *deadline };
        let job = &job;
        let part = |index| async move {
            let made = match job.image(index).await {
                Ok(image) => hooks::image(&self.hooks, request, image).await,
                Err(error) => Err(error),
            };
            (index, made)
        };
        let mut parts: FuturesUnordered<_> = (0..request.images()).map(part).collect();
        while let Some((index, result)) = parts.next().await {
            let fatal = result.as_ref().err().filter(|error| is_everyones(error.kind)).cloned();
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

impl Results {
    pub(super) fn new(images: u32) -> Self {
        Self { images: (0..images).map(|_| None).collect(), error: None }
    }

    /// What came of the request.
    pub(super) fn output(self, id: &RequestId, seed: u64, started: Instant) -> RequestOutput {
        let missing = || Err(CallError::new(ErrorKind::Internal, "the image has no result"));
        let images: Vec<_> =
            self.images.into_iter().map(|image| image.unwrap_or_else(missing)).collect();
        let mut timings: BTreeMap<String, f64> = BTreeMap::new();
        let mut warnings = Vec::new();
        for image in images.iter().flatten() {
            for (phase, &ms) in &image.timings {
                let longest = timings.entry(phase.clone()).or_default();
                *longest = longest.max(ms);
            }
            for warning in &image.warnings {
                if !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
        }
        timings.insert("total".to_owned(), started.elapsed().as_secs_f64() * 1e3);
        let finish_reason = match self.error.as_ref().map(|error| error.kind) {
            None => FinishReason::Done,
            Some(ErrorKind::Cancelled) => FinishReason::Cancelled,
            Some(ErrorKind::DeadlineExceeded) => FinishReason::Deadline,
            Some(_) => FinishReason::Error,
        };
        RequestOutput {
            id: id.clone(),
            seed,
            images,
            timings,
            warnings,
            finish_reason,
            error: self.error,
        }
    }

    pub(super) fn set(
        &mut self,
        index: u32,
        result: Result<ImageOutput, CallError>,
        mailbox: &Mailbox,
    ) {
        mailbox.push(match &result {
            Ok(image) => RequestEvent::Image(image.clone()),
            Err(error) => RequestEvent::ImageFailed { image: index, error: error.clone() },
        });
        if let Err(error) = &result {
            self.error.get_or_insert_with(|| error.clone());
        }
        self.images[index as usize] = Some(result);
    }

    /// The images that have no result yet fail of `error`.
    pub(super) fn fill(&mut self, error: &CallError, mailbox: &Mailbox) {
        for index in 0..self.images.len() {
            if self.images[index].is_none() {
                // `limits::IMAGES` fits.
                let image = u32::try_from(index).unwrap_or(u32::MAX);
                self.set(image, Err(error.clone()), mailbox);
            }
        }
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

/// Whether what one image failed of is the request's fault, and so every image's.
fn is_everyones(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidArgument
            | ErrorKind::UnknownMethod
            | ErrorKind::UnknownModel
            | ErrorKind::PermissionDenied
            | ErrorKind::IdConflict
            | ErrorKind::TooLarge
            | ErrorKind::Cancelled
    )
}
