//! What a request says while it runs, and what comes of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use hearth_api::FinishReason;
use hearth_api::{CallError, Rank, RequestId, WorkerId};
use hearth_protocol::message::Phase;

/// What happens to a request. The last one is [`RequestEvent::Finished`].
#[derive(Debug, Clone)]
pub enum RequestEvent {
    /// An image was given to a worker.
    Assigned {
        /// Which image, from 0.
        image: u32,
        /// The worker.
        worker: WorkerId,
        /// Its rank.
        rank: Option<Rank>,
    },
    /// The worker has taken the image on.
    Accepted {
        /// Which image.
        image: u32,
        /// Images that run before it.
        queue_position: u32,
    },
    /// How far an image is. Only the newest is kept for a slow reader.
    Progress {
        /// Which image.
        image: u32,
        /// The worker.
        worker: WorkerId,
        /// Denoising steps taken.
        step: u32,
        /// Denoising steps in all.
        steps: u32,
        /// What the worker does now.
        phase: Phase,
    },
    /// An unfinished image. Only the newest is kept for a slow reader.
    Preview {
        /// Which image.
        image: u32,
        /// The denoising step that it shows.
        step: u32,
        /// Media type of `bytes`.
        media_type: String,
        /// The encoded picture.
        bytes: Bytes,
    },
    /// An image is there.
    Image(ImageOutput),
    /// An image has failed, and is not tried again.
    ImageFailed {
        /// Which image.
        image: u32,
        /// Why.
        error: CallError,
    },
    /// An image is tried again.
    Retried {
        /// Which image.
        image: u32,
        /// The worker that it was on.
        from: WorkerId,
        /// Why.
        error: CallError,
    },
    /// The request has ended.
    Finished(RequestOutput),
}

/// One image.
#[derive(Debug, Clone)]
pub struct ImageOutput {
    /// Which image of the request, from 0.
    pub index: u32,
    /// The seed that made it.
    pub seed: u64,
    /// Media type of `bytes`.
    pub media_type: String,
    /// SHA-256 of `bytes`, hex, as the worker says.
    pub sha256: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The encoded picture.
    pub bytes: Bytes,
    /// The worker that made it.
    pub worker: WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// Milliseconds per phase on the worker; `total` is the time that the engine saw.
    pub timings: BTreeMap<String, f64>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// How it ended.
    pub finish_reason: FinishReason,
}

/// What came of a request.
#[derive(Debug, Clone)]
pub struct RequestOutput {
    /// The request.
    pub id: RequestId,
    /// The seed; image i has this plus i.
    pub seed: u64,
    /// One entry per image asked for, in order.
    pub images: Vec<Result<ImageOutput, CallError>>,
    /// Milliseconds: `total` from acceptance to the end, and of each phase the longest that an
    /// image took.
    pub timings: BTreeMap<String, f64>,
    /// What a person should know, once each.
    pub warnings: Vec<String>,
    /// How the request ended: `done` only if every image is there.
    pub finish_reason: FinishReason,
    /// What the request failed of first.
    pub error: Option<CallError>,
}

impl RequestOutput {
    /// The output if it has an image.
    ///
    /// # Errors
    /// What the request failed of first, if it has none.
    pub fn into_result(self) -> Result<Self, CallError> {
        match &self.error {
            Some(error) if self.images.iter().all(Result::is_err) => Err(error.clone()),
            _ => Ok(self),
        }
    }
}
