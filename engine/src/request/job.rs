//! What the items of one request share, and what each asks its worker for.

use std::sync::Arc;

use bytes::Bytes;
use hearth_api::request::{GenerationRequest, Input};
use hearth_api::trace::TraceParent;
use hearth_api::{CallError, ErrorKind, Incarnation};
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::{GenerateArgs, ItemIndex, Method};
use tokio::time::Instant;

use super::dispatch::Dispatcher;
use super::mailbox::Mailbox;
use super::trial::Trial;
use crate::executor::OutgoingCall;

/// What the items of one request share.
pub(super) struct Job<'a> {
    pub(super) dispatcher: &'a Dispatcher,
    pub(super) mailbox: &'a Mailbox,
    pub(super) trial: &'a Arc<Trial>,
    /// With id, model and seed.
    pub(super) request: &'a GenerationRequest,
    pub(super) deadline: Instant,
    pub(super) trace: TraceParent,
    /// Whether an item waits where all workers are full.
    pub(super) waits: bool,
}

impl Job<'_> {
    /// The model, as the request names it.
    pub(super) fn model(&self) -> &str {
        self.request.model.as_deref().unwrap_or_default()
    }

    /// The first call for an item.
    ///
    /// # Errors
    /// `too_large`.
    pub(super) fn call(&self, item: ItemIndex) -> Result<OutgoingCall, CallError> {
        let Some(id) = self.request.id.clone() else {
            return Err(CallError::new(ErrorKind::Internal, "the request has no id"));
        };
        Ok(OutgoingCall {
            id,
            attempt: 0,
            method: Method::Generate.name().to_owned(),
            args: self.args(item, None, &[])?,
            deadline: None,
            trace: Some(self.trace),
            attachments: self.request.inputs().into_iter().filter_map(attachment).collect(),
        })
    }

    /// The arguments of an item's call: with at most so many others before it, and with the runs that
    /// were lost to the request.
    ///
    /// # Errors
    /// `too_large`.
    pub(super) fn args(
        &self,
        item: ItemIndex,
        max_queue_position: Option<u32>,
        lost: &[Incarnation],
    ) -> Result<Bytes, CallError> {
        let (request, lost) = (self.request.clone(), lost.to_vec());
        let args = GenerateArgs { request, item, max_queue_position, lost };
        let args = codec::encode(&args).map_err(|error| {
            CallError::new(ErrorKind::TooLarge, "the request is too large").caused_by(&error)
        })?;
        Ok(args.into())
    }
}

/// A file of the request as an attachment of the call.
fn attachment((name, input): (&str, &Input)) -> Option<(Attachment, Bytes)> {
    let attachment = Attachment {
        name: name.to_owned(),
        media_type: "application/octet-stream".to_owned(),
        len: input.len(),
        tensor: None,
    };
    Some((attachment, input.bytes()?.clone()))
}
