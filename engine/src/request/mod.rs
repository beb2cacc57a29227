//! An accepted request, from its planning to its one end.
//!
//! `drive` runs its images concurrently, `part` one image's attempts, `dispatch` gives each a
//! slot on a worker, `mailbox` carries events to the caller. `attach` follows a request that
//! another caller submitted.

mod attach;
mod dispatch;
mod drive;
mod mailbox;
pub(crate) mod output;
mod part;

use std::sync::Arc;
use std::time::Duration;

use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_base::task::OwnedTask;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use dispatch::Dispatcher;
pub use output::{ImageOutput, RequestEvent, RequestOutput};

use crate::collective;
use crate::hooks::Hook;
use crate::metrics::RequestTimer;
use drive::Drive;
use mailbox::Mailbox;

/// A request under way. Dropping it cancels the request.
pub struct Submission {
    /// The request's name.
    pub id: RequestId,
    /// Its seed; image i has this plus i.
    pub seed: u64,
    /// How many images were asked for.
    pub images: u32,
    mailbox: Arc<Mailbox>,
    cancel: CancellationToken,
    dispatcher: Dispatcher,
    /// Ends with the submission, and so do its calls.
    _task: OwnedTask,
}

/// What the engine has determined before a request starts.
pub(crate) struct Admission {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) id: RequestId,
    pub(crate) seed: u64,
    pub(crate) model: String,
    /// When it arrived.
    pub(crate) started: Instant,
    pub(crate) limit: Duration,
    /// Counts the request among those under way.
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) closing: CancellationToken,
    pub(crate) hooks: Arc<[Box<dyn Hook>]>,
    /// Counts the request when it ends.
    pub(crate) timer: Option<RequestTimer>,
}

impl Submission {
    /// Starts an accepted request.
    pub(crate) fn start(request: GenerationRequest, admission: Admission) -> Self {
        let Admission { dispatcher, id, seed, model, started, limit, permit, .. } = admission;
        let request = GenerationRequest {
            id: Some(id.clone()),
            seed: Some(seed),
            model: Some(model),
            ..request
        };
        let images = request.images();
        let mailbox = Arc::new(Mailbox::default());
        let cancel = CancellationToken::new();
        let drive = Drive {
            dispatcher: dispatcher.clone(),
            mailbox: Arc::clone(&mailbox),
            id: id.clone(),
            seed,
            request,
            started,
            deadline: started + limit,
            cancel: cancel.clone(),
            closing: admission.closing,
            hooks: admission.hooks,
            timer: admission.timer,
            permit: Some(permit),
        };
        let task = OwnedTask::spawn("request", |_| drive.run());
        Self { id, seed, images, mailbox, cancel, dispatcher, _task: task }
    }

    /// Waits for what happens next; none after [`RequestEvent::Finished`].
    ///
    /// Dropping the future loses nothing. A slow reader misses progress and previews, never a
    /// result.
    pub async fn next(&mut self) -> Option<RequestEvent> {
        self.mailbox.next().await
    }

    /// Waits for the end. A request with at least one image is a success; the errors of the others
    /// stand in their place.
    ///
    /// # Errors
    /// The request's first error, if it has no image.
    pub async fn finish(self) -> Result<RequestOutput, CallError> {
        while let Some(event) = self.mailbox.next().await {
            if let RequestEvent::Finished(output) = event {
                return output.into_result();
            }
        }
        Err(CallError::new(ErrorKind::Internal, "the request ended without a result"))
    }

    /// Cancels the request and waits, for two seconds at most, until its workers confirm. Its end is
    /// still an event.
    pub async fn cancel(&self) {
        self.cancel.cancel();
        collective::cancel(self.dispatcher.executor(), &self.id).await;
    }
}
