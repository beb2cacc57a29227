//! An accepted request, from its planning to its one end.

mod output;

use std::sync::Arc;

use hearth_protocol::{CallError, ErrorKind, RequestId};

pub use output::{ImageOutput, RequestEvent, RequestOutput};

use crate::executor::Executor;

/// A request under way. Dropping it cancels the request.
pub struct Submission {
    /// The request's name.
    pub id: RequestId,
    /// Its seed; image i has this plus i.
    pub seed: u64,
    /// How many images were asked for.
    pub images: u32,
}

impl Submission {
    /// Waits for what happens next; none after [`RequestEvent::Finished`].
    ///
    /// Dropping the future loses nothing. A slow reader misses progress and previews, never a
    /// result.
    pub async fn next(&mut self) -> Option<RequestEvent> {
        None
    }

    /// Waits for the end. A request of which at least one image is there is a success; what the
    /// others failed of is in their place.
    ///
    /// # Errors
    /// What the request failed of, if it has no image.
    pub async fn finish(self) -> Result<RequestOutput, CallError> {
        Err(CallError::new(ErrorKind::Internal, "not yet"))
    }

    /// Cancels the request and waits, for a moment, until its workers say so. Its end is still an
    /// event.
    pub async fn cancel(&self) {}
}

pub(crate) struct Dispatcher {
    executor: Arc<dyn Executor>,
}

impl Dispatcher {
    pub(crate) fn new(executor: Arc<dyn Executor>) -> Self {
        Self { executor }
    }

    pub(crate) fn executor(&self) -> &dyn Executor {
        &*self.executor
    }
}
