//! An accepted request, from its planning to its one end.
//!
//! [`drive`] runs its images side by side, [`part`] one image's attempts, [`dispatch`] gives each a
//! place on a worker, [`mailbox`] carries what happens to the caller. [`attach`] takes one up again
//! that another caller submitted.

mod attach;
mod dispatch;
mod drive;
mod mailbox;
mod output;
mod part;

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::RequestTimer;
use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_base::task::OwnedTask;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use dispatch::Dispatcher;
pub use output::{ImageOutput, RequestEvent, RequestOutput};

use crate::Engine;
use crate::hooks::Hook;
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
    engine: Engine,
    /// Ends with the submission, and so do its calls.
    _task: OwnedTask,
}

/// What the engine has settled before a request starts.
pub(crate) struct Accepted {
    pub(crate) engine: Engine,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) id: RequestId,
    pub(crate) seed: u64,
    pub(crate) model: String,
    /// When it came.
    pub(crate) started: Instant,
    pub(crate) limit: Duration,
    /// The request's place among those under way.
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) closing: CancellationToken,
    pub(crate) hooks: Arc<[Box<dyn Hook>]>,
    /// Counts the request when it ends.
    pub(crate) timer: Option<RequestTimer>,
}

impl Submission {
    /// Starts an accepted request.
    pub(crate) fn start(request: GenerationRequest, accepted: Accepted) -> Self {
        let Accepted { engine, dispatcher, id, seed, model, started, limit, permit, .. } = accepted;
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
            dispatcher,
            mailbox: Arc::clone(&mailbox),
            id: id.clone(),
            seed,
            request,
            started,
            deadline: started + limit,
            cancel: cancel.clone(),
            closing: accepted.closing,
            hooks: accepted.hooks,
            timer: accepted.timer,
            permit: Some(permit),
        };
        let task = OwnedTask::spawn("request", |_| drive.run());
        Self { id, seed, images, mailbox, cancel, engine, _task: task }
    }

    /// Waits for what happens next; none after [`RequestEvent::Finished`].
    ///
    /// Dropping the future loses nothing. A slow reader misses progress and previews, never a
    /// result.
    pub async fn next(&mut self) -> Option<RequestEvent> {
        self.mailbox.next().await
    }

    /// Waits for the end. A request of which at least one image is there is a success; what the
    /// others failed of is in their place.
    ///
    /// # Errors
    /// What the request failed of first, if it has no image.
    pub async fn finish(self) -> Result<RequestOutput, CallError> {
        while let Some(event) = self.mailbox.next().await {
            if let RequestEvent::Finished(output) = event {
                return output.into_result();
            }
        }
        Err(CallError::new(ErrorKind::Internal, "the request ended without a result"))
    }

    /// Cancels the request and waits, for two seconds at most, until its workers say so. Its end is
    /// still an event.
    pub async fn cancel(&self) {
        self.cancel.cancel();
        self.engine.cancel(&self.id).await;
    }
}
