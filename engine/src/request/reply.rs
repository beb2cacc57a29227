//! What a worker says of an item, read for the item's caller.

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, Rank, WorkerId};
use hearth_protocol::message::{Attachment, Preview};
use hearth_protocol::methods::{GenerateValue, ItemIndex};
use tokio::time::Instant;

use super::output::{ItemOutput, RequestEvent};
use crate::executor::{CallEvent, CallReply};

/// What a worker says of an item.
pub(super) enum Update {
    /// Something for the caller to see; more follows.
    Event(RequestEvent),
    /// The reply, which ends the call.
    Reply(CallReply),
}

/// A call's event, as one of the item's.
pub(super) fn update(event: CallEvent, item: u32, worker: &WorkerId) -> Update {
    match event {
        CallEvent::Accepted { queue_position, .. } => {
            Update::Event(RequestEvent::Accepted { item, queue_position })
        }
        CallEvent::Progress(progress) => Update::Event(RequestEvent::Progress {
            item,
            worker: worker.clone(),
            step: progress.step,
            steps: progress.steps,
            phase: progress.phase,
        }),
        CallEvent::Preview(preview, bytes) => {
            let Preview { step, attachment } = preview;
            let media_type = attachment.media_type;
            Update::Event(RequestEvent::Preview { item, step, media_type, bytes })
        }
        CallEvent::Reply(reply) => Update::Reply(reply),
    }
}

/// The item of a worker's result.
///
/// # Errors
/// `protocol` for another item's result, or one without its one attachment.
pub(super) fn item_output(
    generated: GenerateValue,
    attachments: Vec<(Attachment, Bytes)>,
    item: ItemIndex,
    (worker, rank): (&WorkerId, Option<Rank>),
    started: Instant,
) -> Result<ItemOutput, CallError> {
    let (attachment, bytes) = only(attachments)?;
    if generated.item != item || attachment.media_type != generated.media_type {
        let message = "the reply is another item's than the one asked for";
        return Err(CallError::new(ErrorKind::Protocol, message));
    }
    let media = generated.facts();
    let mut timings = generated.timings;
    timings.insert("total".to_owned(), started.elapsed().as_secs_f64() * 1e3);
    Ok(ItemOutput {
        index: item.index,
        seed: generated.seed,
        media_type: generated.media_type,
        sha256: generated.sha256,
        media,
        bytes,
        worker: worker.clone(),
        rank,
        timings,
        warnings: generated.warnings,
        finish_reason: generated.finish_reason,
    })
}

fn only(attachments: Vec<(Attachment, Bytes)>) -> Result<(Attachment, Bytes), CallError> {
    let count = attachments.len();
    let [one] = <[_; 1]>::try_from(attachments).map_err(|_| {
        let message = format!("the reply has {count} attachments in place of one item");
        CallError::new(ErrorKind::Protocol, message)
    })?;
    Ok(one)
}
