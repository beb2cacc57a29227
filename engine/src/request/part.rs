//! One image of a request: its attempts, on one worker after another.

use std::time::Duration;

use bytes::Bytes;
use hearth_api::request::{GenerationRequest, Input};
use hearth_api::{CallError, ErrorKind, Rank, WorkerId};
use hearth_protocol::codec;
use hearth_protocol::message::{Attachment, Preview};
use hearth_protocol::methods::{GenerateArgs, Generated, Method, Part};
use tokio::time::Instant;

use super::dispatch::{Dispatcher, Slot};
use super::mailbox::Mailbox;
use super::{ImageOutput, RequestEvent};
use crate::executor::{CallEvent, CallReply, OutgoingCall};

/// How many workers an image may be lost on: a request that crashes workers must not crash all of
/// them.
const LOSSES: u32 = 3;

/// How often workers may turn away an image before it starts, as busy or draining ones do.
const REFUSALS: u32 = 16;

/// How long a worker that could take the image may be missing: restarts and reconnections.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before each further attempt, times its number: the worker may need a moment.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What the parts of one request share.
pub(super) struct Job<'a> {
    pub(super) dispatcher: &'a Dispatcher,
    pub(super) mailbox: &'a Mailbox,
    /// With id, model and seed.
    pub(super) request: &'a GenerationRequest,
    pub(super) deadline: Instant,
}

impl Job<'_> {
    /// Makes one image.
    ///
    /// # Errors
    /// The worker's error if trying again is no use; the last one after [`LOSSES`] or [`REFUSALS`].
    pub(super) async fn image(&self, index: u32) -> Result<ImageOutput, CallError> {
        let part = Part { index, of: self.request.images() };
        let mut call = self.call(part)?;
        let mut failed_on: Vec<WorkerId> = Vec::new();
        let mut last_error = None;
        let mut losses = 0;
        loop {
            let model = self.request.model.as_deref().unwrap_or_default();
            let place = match self.dispatcher.take(model, &failed_on, PATIENCE).await {
                Ok(place) => place,
                // The last worker's error says more than that no worker is left.
                Err(error) => return Err(last_error.unwrap_or(error)),
            };
            match self.attempt(&place, part, &mut call).await {
                Ok(image) => return Ok(image),
                Err(error) => {
                    let error = error.at(&place.worker, place.rank);
                    call.attempt += 1;
                    losses += u32::from(!is_refusal(&error));
                    let refusals = call.attempt - losses;
                    if !error.retryable || losses >= LOSSES || refusals >= REFUSALS {
                        return Err(error);
                    }
                    let worker = place.worker.clone();
                    drop(place);
                    tracing::warn!(id = %call.id, image = index, %error, "tried again");
                    self.mailbox.push(RequestEvent::Retried {
                        image: index,
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

    fn call(&self, part: Part) -> Result<OutgoingCall, CallError> {
        let Some(id) = self.request.id.clone() else {
            return Err(CallError::new(ErrorKind::Internal, "the request has no id"));
        };
        let args = GenerateArgs { request: self.request.clone(), part };
        let args = codec::encode(&args).map_err(|error| {
            CallError::new(ErrorKind::TooLarge, "the request is too large").caused_by(&error)
        })?;
        Ok(OutgoingCall {
            id,
            attempt: 0,
            method: Method::Generate.name().to_owned(),
            args: args.into(),
            deadline: None,
            traceparent: None,
            attachments: self.request.inputs().into_iter().filter_map(attached).collect(),
        })
    }

    async fn attempt(
        &self,
        place: &Slot,
        part: Part,
        call: &mut OutgoingCall,
    ) -> Result<ImageOutput, CallError> {
        let (image, worker) = (part.index, &place.worker);
        self.mailbox.push(RequestEvent::Assigned {
            image,
            worker: worker.clone(),
            rank: place.rank,
        });
        let started = Instant::now();
        call.deadline = Some(self.deadline.saturating_duration_since(started));
        let mut stream = self.dispatcher.executor().call(worker, call).await?;
        loop {
            match update(stream.next().await?, image, worker) {
                Update::Event(event) => self.mailbox.push(event),
                Update::Reply(reply) => return output(reply, part, place, started),
            }
        }
    }
}

/// What a worker says of an image.
pub(super) enum Update {
    /// Something for the caller to see; more follows.
    Event(RequestEvent),
    /// The reply, which ends the call.
    Reply(CallReply),
}

/// A call's event, as one of the image's.
pub(super) fn update(event: CallEvent, image: u32, worker: &WorkerId) -> Update {
    Update::Event(match event {
        CallEvent::Accepted { queue_position } => RequestEvent::Accepted { image, queue_position },
        CallEvent::Progress(progress) => RequestEvent::Progress {
            image,
            worker: worker.clone(),
            step: progress.step,
            steps: progress.steps,
            phase: progress.phase,
        },
        CallEvent::Preview(preview, bytes) => {
            let Preview { step, attachment } = preview;
            let media_type = attachment.media_type;
            RequestEvent::Preview { image, step, media_type, bytes }
        }
        CallEvent::Reply(reply) => return Update::Reply(reply),
    })
}

/// Whether the worker turned the image away before it began.
fn is_refusal(error: &CallError) -> bool {
    use ErrorKind as E;
    matches!(error.kind, E::QueueFull | E::Draining | E::NotReady | E::StaleIncarnation)
}

/// The image in a worker's reply.
fn output(
    reply: CallReply,
    part: Part,
    place: &Slot,
    started: Instant,
) -> Result<ImageOutput, CallError> {
    let value = reply.outcome?;
    let generated: Generated = codec::decode(&value).map_err(|error| {
        CallError::new(ErrorKind::Protocol, "the value is no image's").caused_by(&error)
    })?;
    image_output(generated, reply.attachments, part, (&place.worker, place.rank), started)
}

/// The image of a worker's result.
pub(super) fn image_output(
    generated: Generated,
    attachments: Vec<(Attachment, Bytes)>,
    part: Part,
    (worker, rank): (&WorkerId, Option<Rank>),
    started: Instant,
) -> Result<ImageOutput, CallError> {
    let (attachment, bytes) = only(attachments)?;
    if generated.part != part || attachment.media_type != generated.media_type {
        let message = "the reply is another image's than the one asked for";
        return Err(CallError::new(ErrorKind::Protocol, message));
    }
    let mut timings = generated.timings;
    timings.insert("total".to_owned(), started.elapsed().as_secs_f64() * 1e3);
    Ok(ImageOutput {
        index: part.index,
        seed: generated.seed,
        media_type: generated.media_type,
        sha256: generated.sha256,
        width: generated.width,
        height: generated.height,
        bytes,
        worker: worker.clone(),
        rank,
        timings,
        warnings: generated.warnings,
        finish_reason: generated.finish_reason,
    })
}

/// A file of the request as an attachment of the call.
fn attached((name, input): (&str, &Input)) -> Option<(Attachment, Bytes)> {
    let attachment = Attachment {
        name: name.to_owned(),
        media_type: "application/octet-stream".to_owned(),
        len: input.len(),
        tensor: None,
    };
    Some((attachment, input.bytes()?.clone()))
}

fn only(attachments: Vec<(Attachment, Bytes)>) -> Result<(Attachment, Bytes), CallError> {
    let count = attachments.len();
    match <[_; 1]>::try_from(attachments) {
        Ok([one]) => Ok(one),
        Err(_) => {
            let message = format!("the reply has {count} attachments in place of one image");
            Err(CallError::new(ErrorKind::Protocol, message))
        }
    }
}
