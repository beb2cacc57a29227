//! The messages of one call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::limits;
use hearth_api::tensor::TensorHeader;
use hearth_api::{CallError, ErrorKind, Incarnation, RequestId};

/// What a caller asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The request's name; for a part of a request, the request's.
    pub id: RequestId,
    /// 0 at first, one more for each time the caller tries again.
    pub attempt: u32,
    /// The worker's run that the call is meant for; none for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// The method's name.
    pub method: String,
    /// The method's arguments, a MessagePack map.
    pub args: ByteBuf,
    /// Time left, in milliseconds from the arrival; none for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The bulk parts that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A bulk part of a message, sent as raw bytes after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// What the part is called.
    pub name: String,
    /// Media type, as in `image/png`.
    pub media_type: String,
    /// Length in bytes.
    pub len: u64,
    /// For raw tensors: element type and shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<TensorHeader>,
}

/// Checks a message's attachments against the limits, before memory is taken for them.
///
/// # Errors
/// [`ErrorKind::TooLarge`] or [`ErrorKind::Protocol`] names the count, the size or the tensor.
pub fn check_attachments(attachments: &[Attachment]) -> Result<(), CallError> {
    let too_large = |message: String| Err(CallError::new(ErrorKind::TooLarge, message));
    if attachments.len() > limits::ATTACHMENTS {
        let count = attachments.len();
        return too_large(format!("{count} attachments, at most {} fit", limits::ATTACHMENTS));
    }
    let total = attachments.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.len));
    if total.is_none_or(|total| total > limits::PAYLOAD) {
        return too_large(format!("attachments of more than {} bytes", limits::PAYLOAD));
    }
    for part in attachments {
        if let Some(tensor) = &part.tensor {
            tensor.check_len(part.len).map_err(|error| {
                CallError::new(ErrorKind::Protocol, format!("attachment {:?}", part.name))
                    .caused_by(&error)
            })?;
        }
    }
    Ok(())
}

/// How much a worker has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Items that have a slot.
    pub running: u32,
    /// Items that wait for one.
    pub queued: u32,
    /// Milliseconds from one item's end to the next one's, as it was lately; none until items have
    /// ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_ms: Option<u32>,
}

impl Load {
    /// Items in all.
    #[must_use]
    pub fn items(self) -> u32 {
        self.running.saturating_add(self.queued)
    }

    /// Items that would run before a newcomer's, or beside it beyond the slots, on a worker of so many.
    #[must_use]
    pub fn ahead(self, slots: u32) -> u32 {
        self.items().saturating_sub(slots.saturating_sub(1))
    }
}

/// The worker has taken the call on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Calls that run before this one; 0 when it starts at once.
    pub queue_position: u32,
    /// Items beside which it starts in one slot, sharing their steps; 0 while it waits, and from a
    /// worker that shares none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sharing: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(crate) fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How far a call is, in steps of its phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What the worker does now.
    pub phase: Phase,
    /// Steps of the phase that are taken.
    pub step: u32,
    /// Steps of the phase in all; 0 where it has none.
    pub steps: u32,
}

/// What a worker does for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for a slot.
    Queue,
    /// Loads the model.
    ModelLoad,
    /// Computes.
    Generation,
    /// Encodes the result.
    OutputPostprocessing,
    /// A phase of a newer version.
    #[serde(other)]
    Unknown,
}

/// A picture of the unfinished result; its bytes follow as one attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The denoising step that it shows.
    pub step: u32,
    /// The picture.
    pub attachment: Attachment,
}

/// How a call ended. Exactly one of `value` and `error` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The attempt that this answers. With an error it may be 0: the worker could not read which.
    pub attempt: u32,
    /// The worker's run that answers.
    pub incarnation: Incarnation,
    /// The method's value, a MessagePack map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ByteBuf>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
    /// The bulk parts that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// What follows a reply: the spans that the worker recorded for the call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trailer {
    /// Spans, oldest first.
    pub spans: Vec<Span>,
}

/// One timed piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// What was done.
    pub name: String,
    /// W3C span id, 16 hex digits.
    pub span_id: String,
    /// The span that this is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// Start, nanoseconds since 1970 (UTC).
    pub start_ns: u64,
    /// Duration in nanoseconds.
    pub duration_ns: u64,
    /// Details.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// QUIC application error codes of streams and connections.
pub mod code {
    /// STOP_SENDING: the caller cancels the call.
    pub const CANCEL: u32 = 1;
    /// RESET_STREAM, STOP_SENDING: the peer broke the protocol.
    pub const PROTOCOL: u32 = 2;
    /// The connection is closed in good order.
    pub const BYE: u32 = 3;
    /// The connection is refused: the peers have no version in common.
    pub const VERSION: u32 = 4;
    /// The connection is refused: the peer's role has no business here.
    pub const ROLE: u32 = 5;
    /// The stream or connection is refused: a bound is reached.
    pub const BUSY: u32 = 6;
    /// The connection is closed: a certificate that it was made with no longer counts.
    pub const CERTIFICATE: u32 = 7;
}
