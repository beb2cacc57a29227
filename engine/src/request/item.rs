//! One item of a request: its attempts, on one worker after another.

use std::time::Duration;

use bytes::Bytes;
use hearth_api::request::{GenerationRequest, Input};
use hearth_api::trace::TraceParent;
use hearth_api::{CallError, ErrorKind, WorkerId};
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::{GenerateArgs, GenerateValue, ItemIndex, Method};
use tokio::time::Instant;

use super::dispatch::{Dispatcher, Slot};
use super::mailbox::Mailbox;
use super::output::{ItemOutput, RequestEvent};
use super::reply::{Update, item_output, update};
use crate::executor::{CallReply, OutgoingCall};

/// How many workers an item may be lost on: a request that crashes workers must not crash them all.
const LOSSES: u32 = 3;

/// How often workers may turn away an item before it starts, as busy or draining ones do.
const REFUSALS: u32 = 16;

/// How long a worker that could take the item may be missing: restarts and reconnections.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before each further attempt, times its number: the worker may need a moment.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What the items of one request share.
pub(super) struct Job<'a> {
    pub(super) dispatcher: &'a Dispatcher,
    pub(super) mailbox: &'a Mailbox,
    /// With id, model and seed.
    pub(super) request: &'a GenerationRequest,
    pub(super) deadline: Instant,
    pub(super) trace: TraceParent,
}

impl Job<'_> {
    /// Makes one item.
    ///
    /// # Errors
    /// The worker's error if trying again is no use; the last one after [`LOSSES`] or [`REFUSALS`].
    pub(super) async fn run(&self, index: u32) -> Result<ItemOutput, CallError> {
        let item = ItemIndex { index, of: self.request.images() };
        let mut call = self.call(item)?;
        let mut failed_on: Vec<WorkerId> = Vec::new();
        let mut last_error = None;
        let mut losses = 0;
        loop {
            let model = self.request.model.as_deref().unwrap_or_default();
            let slot = match self.dispatcher.take(model, &failed_on, PATIENCE).await {
                Ok(slot) => slot,
                // The last worker's error says more than that no worker is left.
                Err(error) => return Err(last_error.unwrap_or(error)),
            };
            match self.attempt(&slot, item, &mut call).await {
                Ok(output) => return Ok(output),
                Err(error) => {
                    let error = error.at(&slot.worker, slot.rank);
                    call.attempt += 1;
                    losses += u32::from(!is_refusal(&error));
                    let refusals = call.attempt - losses;
                    if !error.retryable || losses >= LOSSES || refusals >= REFUSALS {
                        return Err(error);
                    }
                    let worker = slot.worker.clone();
                    drop(slot);
                    tracing::warn!(id = %call.id, item = index, %error, "tried again");
                    self.mailbox.push(RequestEvent::Retried {
                        item: index,
                        from: worker.clone(),
                        error: error.clone(),
                    });
                    failed_on.push(worker);
                    last_error = Some(error);
                    tokio::time::sleep((PAUSE * call.attempt).min(LONGEST_PAUSE)).await;
                }
            }
        }
    }

    fn call(&self, item: ItemIndex) -> Result<OutgoingCall, CallError> {
        let Some(id) = self.request.id.clone() else {
            return Err(CallError::new(ErrorKind::Internal, "the request has no id"));
        };
        let args = GenerateArgs { request: self.request.clone(), item };
        let args = codec::encode(&args).map_err(|error| {
            CallError::new(ErrorKind::TooLarge, "the request is too large").caused_by(&error)
        })?;
        Ok(OutgoingCall {
            id,
            attempt: 0,
            method: Method::Generate.name().to_owned(),
            args: args.into(),
            deadline: None,
            trace: Some(self.trace),
            attachments: self.request.inputs().into_iter().filter_map(attachment).collect(),
        })
    }

    async fn attempt(
        &self,
        slot: &Slot,
        item: ItemIndex,
        call: &mut OutgoingCall,
    ) -> Result<ItemOutput, CallError> {
        let worker = &slot.worker;
        self.mailbox.push(RequestEvent::Assigned {
            item: item.index,
            worker: worker.clone(),
            rank: slot.rank,
        });
        let started = Instant::now();
        call.deadline = Some(self.deadline.saturating_duration_since(started));
        let mut stream = self.dispatcher.executor().call(worker, call).await?;
        loop {
            match update(stream.next().await?, item.index, worker) {
                Update::Event(event) => self.mailbox.push(event),
                Update::Reply(reply) => return output(reply, item, slot, started),
            }
        }
    }
}

/// Whether the worker turned the item away before it began.
fn is_refusal(error: &CallError) -> bool {
    use ErrorKind as E;
    matches!(
        error.kind,
        E::QueueFull | E::Overloaded | E::Draining | E::NotReady | E::StaleIncarnation
    )
}

/// The item in a worker's reply.
fn output(
    reply: CallReply,
    item: ItemIndex,
    slot: &Slot,
    started: Instant,
) -> Result<ItemOutput, CallError> {
    let value = reply.outcome?;
    let generated: GenerateValue = codec::decode(&value).map_err(|error| {
        CallError::new(ErrorKind::Protocol, "the value is no item's").caused_by(&error)
    })?;
    item_output(generated, reply.attachments, item, (&slot.worker, slot.rank), started)
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
