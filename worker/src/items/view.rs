//! What callers see of an item.

use std::sync::Arc;

use bytes::Bytes;
use hearth_api::CallError;
use hearth_protocol::message::Phase;
use hearth_protocol::methods::{GenerateValue, RequestState};

/// How far an item is; callers get the newest.
#[derive(Debug, Clone)]
pub(crate) struct ItemView {
    pub(crate) state: RequestState,
    pub(crate) queue_position: u32,
    /// Items beside which it began in its slot.
    pub(crate) sharing: u32,
    pub(crate) phase: Phase,
    pub(crate) step: u32,
    pub(crate) steps: u32,
    pub(crate) preview: Option<PreviewImage>,
    pub(crate) outcome: Option<Arc<Outcome>>,
}

/// How an item ended.
pub(crate) type Outcome = Result<ItemOutput, CallError>;

/// A picture of an unfinished item.
#[derive(Debug, Clone)]
pub(crate) struct PreviewImage {
    pub(crate) step: u32,
    pub(crate) png: Bytes,
}

/// An item's result, in the form that callers get it.
#[derive(Debug)]
pub(crate) struct ItemOutput {
    pub(crate) value: GenerateValue,
    pub(crate) bytes: Bytes,
}

impl ItemView {
    /// Of an item that waits.
    pub(super) fn queued(queue_position: u32) -> Self {
        Self {
            state: RequestState::Queued,
            queue_position,
            sharing: 0,
            phase: Phase::Queue,
            step: 0,
            steps: 0,
            preview: None,
            outcome: None,
        }
    }
}
