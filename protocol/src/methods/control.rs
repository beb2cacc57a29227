//! Methods that change what a worker does.

use serde::{Deserialize, Serialize};

use crate::methods::ItemIndex;
use crate::record::WorkerState;
use hearth_api::RequestId;

/// The arguments of `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelArgs {
    /// The request to cancel, with all its items.
    pub request_id: RequestId,
}

/// The value of `cancel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelValue {
    /// Parts that this worker stopped; 0 when it has none of the request.
    pub cancelled: u32,
}

/// The value of `drain`, `resume` and `shutdown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainValue {
    /// The worker's state after the call.
    pub state: WorkerState,
    /// Requests that still run.
    pub running: u32,
    /// Requests that still wait.
    pub queued: u32,
}

/// The value of `list_requests`: those that wait or run, then those that ended lately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestList {
    /// The items that this worker knows.
    pub requests: Vec<RequestSummary>,
}

/// One part of a request, as a worker sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestSummary {
    /// The request.
    pub request_id: RequestId,
    /// Which image of it.
    #[serde(rename = "part")]
    pub item: ItemIndex,
    /// The model.
    pub model: String,
    /// How far it is.
    pub state: RequestState,
    /// Denoising steps taken.
    pub step: u32,
    /// Denoising steps in all.
    pub steps: u32,
    /// Milliseconds since the worker took it on.
    pub age_ms: u64,
    /// The request's seed; the item's is this plus its index.
    #[serde(default)]
    pub seed: u64,
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Waits for a slot.
    Queued,
    /// Computes.
    Running,
    /// Ended in a result.
    Done,
    /// Was cancelled.
    Cancelled,
    /// Ended in an error.
    Failed,
    /// A state of a newer version.
    #[serde(other)]
    Unknown,
}
