//! What a request says while it runs, and what comes of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use hearth_api::{CallError, FinishReason, MediaFacts, Rank, RequestId, WorkerId};
use hearth_protocol::message::Phase;

/// What happens to a request. The last one is [`RequestEvent::Finished`].
///
/// Later versions may have other events, and more fields in these: skip the ones that you don't know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestEvent {
    /// An item was given to a worker; once more for each that it moves to while it waits.
    #[non_exhaustive]
    Assigned {
        /// Which item, from 0.
        item: u32,
        /// The worker.
        worker: WorkerId,
        /// Its rank.
        rank: Option<Rank>,
    },
    /// The worker has taken the item on.
    #[non_exhaustive]
    Accepted {
        /// Which item.
        item: u32,
        /// Items that run before it.
        queue_position: u32,
    },
    /// How far an item is. Only the newest is kept for a slow reader.
    #[non_exhaustive]
    Progress {
        /// Which item.
        item: u32,
        /// The worker.
        worker: WorkerId,
        /// Denoising steps taken.
        step: u32,
        /// Denoising steps in all.
        steps: u32,
        /// What the worker does now.
        phase: Phase,
    },
    /// An unfinished item. Only the newest is kept for a slow reader.
    #[non_exhaustive]
    Preview {
        /// Which item.
        item: u32,
        /// The denoising step that it shows.
        step: u32,
        /// Media type of `bytes`.
        media_type: String,
        /// The encoded picture.
        bytes: Bytes,
    },
    /// An item is done.
    Item(ItemOutput),
    /// An item has failed, and is not tried again.
    #[non_exhaustive]
    ItemFailed {
        /// Which item.
        item: u32,
        /// Why.
        error: CallError,
    },
    /// An item is tried again.
    #[non_exhaustive]
    Retried {
        /// Which item.
        item: u32,
        /// The worker that it was on.
        from: WorkerId,
        /// Why.
        error: CallError,
    },
    /// The request has ended.
    Finished(RequestOutput),
}

/// One output of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ItemOutput {
    /// Which item of the request, from 0.
    pub index: u32,
    /// The seed that made it.
    pub seed: u64,
    /// Media type of `bytes`.
    pub media_type: String,
    /// SHA-256 of `bytes`, hex, as the worker says.
    pub sha256: String,
    /// What `bytes` consists of: a picture's size, the shape of numbers.
    pub media: MediaFacts,
    /// The encoded item.
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
#[non_exhaustive]
pub struct RequestOutput {
    /// The request.
    pub id: RequestId,
    /// The seed; item i has this plus i.
    pub seed: u64,
    /// One entry per item asked for, in order.
    pub items: Vec<Result<ItemOutput, CallError>>,
    /// Milliseconds: `total` from acceptance to the end, and of each phase the longest that an
    /// item took.
    pub timings: BTreeMap<String, f64>,
    /// What a person should know, once each.
    pub warnings: Vec<String>,
    /// How the request ended: `done` only if every item is there.
    pub finish_reason: FinishReason,
    /// The first error of its items.
    pub error: Option<CallError>,
}

impl RequestOutput {
    /// The output if it has an item.
    ///
    /// # Errors
    /// The first error of its items, if it has none.
    pub fn into_result(self) -> Result<Self, CallError> {
        match &self.error {
            Some(error) if self.items.iter().all(Result::is_err) => Err(error.clone()),
            _ => Ok(self),
        }
    }
}
