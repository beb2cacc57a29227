//! A request under way, as its caller holds it.

use std::sync::Arc;

use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_base::task::OwnedTask;
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::mailbox::Mailbox;
use super::output::{RequestEvent, RequestOutput};
use crate::calls;

/// A request under way. Dropping it cancels the request.
#[non_exhaustive]
pub struct Submission {
    /// The request's name.
    pub id: RequestId,
    /// Its seed; item i has this plus i.
    pub seed: u64,
    /// How many items were asked for.
    pub items: u32,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) cancel: CancellationToken,
    pub(super) dispatcher: Dispatcher,
    /// Ends with the submission, and so do its calls.
    pub(super) _task: OwnedTask,
}

impl Submission {
    /// Waits for what happens next; none after [`RequestEvent::Finished`].
    ///
    /// Dropping the future loses nothing. A slow reader misses progress and previews, never a
    /// result.
    pub async fn next(&mut self) -> Option<RequestEvent> {
        self.mailbox.next().await
    }

    /// Waits for the end. A request of which at least one item is there is a success; the errors of
    /// the others are in their place.
    ///
    /// # Errors
    /// The first error of its items, if it has no item.
    pub async fn finish(self) -> Result<RequestOutput, CallError> {
        while let Some(event) = self.mailbox.next().await {
            if let RequestEvent::Finished(output) = event {
                return output.into_result();
            }
        }
        Err(CallError::new(ErrorKind::Internal, "the request ended without a result"))
    }

    /// Cancels the request and waits, for two seconds at most, until its workers confirm it. Its end
    /// is still an event.
    pub async fn cancel(&self) {
        self.cancel.cancel();
        calls::cancel(self.dispatcher.executor(), &self.id).await;
    }
}
