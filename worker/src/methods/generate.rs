//! `generate`: hands a part to the engine and tells the caller how it goes.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::{CallError, ErrorKind};
use hearth_base::files;
use hearth_fabric::quic::{IncomingCall, Payload, Responder};
use hearth_inference::model::PreparedRequest;
use hearth_protocol::message::{Accepted, Attachment, Phase, Preview, Progress, Request, Trailer};
use hearth_protocol::methods::GenerateArgs;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{arguments, attachment, value};
use crate::engine::prepare;
use crate::models::Known;
use crate::parts::{Finished, PartKey, PartView, Subscription, Wanted};
use crate::state::Shared;

/// How long what is being sent at the deadline may take.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Requests whose files are looked at, at a time: a small file can be a large picture.
static FILES: Semaphore = Semaphore::const_new(2);

pub(crate) async fn generate(shared: Arc<Shared>, call: IncomingCall) {
    let IncomingCall { request, payload, mut responder } = call;
    let cancelled = responder.cancelled();
    let mut subscription = match admit(&shared, &request, payload).await {
        Ok(subscription) => subscription,
        Err(error) => return responder.fail(shared.located(error)).await,
    };
    let deadline = deadline_of(&request);
    let mut teller = Teller::default();
    let over = {
        let told = teller.tell(&mut subscription.view, &mut responder, deadline);
        let stalled = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at + LAST_WORD).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancelled => Over::Caller,
            told = told => told,
            () = stalled => Over::Deadline,
        }
    };
    match over {
        Over::Part => reply(&shared, &subscription, responder).await,
        Over::Caller => subscription.give_up(ErrorKind::Cancelled),
        Over::Deadline => {
            subscription.give_up(ErrorKind::DeadlineExceeded);
            responder.fail(shared.located(late())).await;
        }
        // The part goes on without this caller.
        Over::Connection => {}
    }
}

/// When a call's time is over.
pub(super) fn deadline_of(request: &Request) -> Option<Instant> {
    request.deadline_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
}

pub(super) fn late() -> CallError {
    let message = "the deadline passed: give more time or fewer steps";
    CallError::new(ErrorKind::DeadlineExceeded, message)
}

/// What came first.
pub(super) enum Over {
    Part,
    Caller,
    Deadline,
    Connection,
}

/// Checks everything that can be checked before anything is queued.
async fn admit(
    shared: &Arc<Shared>,
    request: &Request,
    payload: Payload,
) -> Result<Subscription, CallError> {
    let mut args: GenerateArgs = arguments(request)?;
    args.request.check()?;
    let brings_files = !args.request.inputs().is_empty();
    let headers = request.attachments.clone();
    let take = move || take_inputs(&mut args, &headers, payload).map(|()| args);
    let args = if brings_files { in_turn(take).await? } else { take()? };
    let (part, images) = (args.part, args.request.images());
    if part.index >= part.of || part.of != images {
        let message =
            format!("part {} of {} does not exist: {images} are asked for", part.index, part.of);
        return Err(CallError::invalid("part", message));
    }
    let key = PartKey { request: request.id.clone(), index: args.part.index };
    let deadline = request.deadline_ms.map(Duration::from_millis);
    if shared.parts.holds(&key) {
        // What is known is given, whatever the worker does by now.
        let model = args.request.model.clone().unwrap_or_default();
        let prepared = None;
        return shared.parts.subscribe(Wanted { args, prepared, key, model, deadline });
    }
    shared.check_awake().inspect_err(|_| shared.parts.count_refused())?;
    let resolved = shared.models.resolve(args.request.model.as_deref(), Instant::now().into())?;
    let description = resolved.description;
    let check = move || check(args, description.as_deref());
    let (args, prepared) = if brings_files { in_turn(check).await? } else { check()? };
    let model = resolved.name;
    shared.parts.subscribe(Wanted { args, prepared, key, model, deadline })
}

/// Hashes or decodes a request's files, which takes longer than other calls may wait: beside the
/// network's thread.
async fn in_turn<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let failed = "checking the request's files failed";
    let failed = || CallError::new(ErrorKind::Internal, failed);
    // It goes with the work, which a caller that leaves does not end.
    let turn = FILES.acquire().await.map_err(|_| failed())?;
    let done = files::run_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(|_| failed())?
}

/// Puts the call's attachments into the fields that they are named like.
fn take_inputs(
    args: &mut GenerateArgs,
    attachments: &[Attachment],
    payload: Payload,
) -> Result<(), CallError> {
    let mut files: Vec<_> = attachments.iter().map(|header| &header.name).zip(payload).collect();
    for (field, input) in args.request.inputs_mut() {
        let at = files.iter().position(|(name, _)| *name == field);
        let whole = at.is_some_and(|at| input.fill(files.remove(at).1));
        if !whole {
            let message = format!("{field}: the attachment of that name is missing or another");
            return Err(CallError::invalid(field, message));
        }
    }
    match files.first() {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("attachment {name:?} belongs to no field of the request");
            Err(CallError::invalid("attachments", message))
        }
    }
}

/// Prepares a request for the model, if that is loaded, and gives it back.
fn check(
    args: GenerateArgs,
    known: Option<&Known>,
) -> Result<(GenerateArgs, Option<PreparedRequest>), CallError> {
    // The model's own rules are known once it is there.
    let Some(known) = known else { return Ok((args, None)) };
    let prepared = prepare(known.preparer.as_deref(), &args.request)?;
    Ok((args, Some(prepared)))
}

/// What the caller was told already.
#[derive(Default)]
pub(super) struct Teller {
    position: Option<u32>,
    progress: Option<(Phase, u32, u32)>,
    preview: u32,
}

impl Teller {
    /// Passes on what happens until the part ends or the time is over. What is being sent then is
    /// sent first.
    pub(super) async fn tell(
        &mut self,
        view: &mut tokio::sync::watch::Receiver<PartView>,
        responder: &mut Responder,
        deadline: Option<Instant>,
    ) -> Over {
        loop {
            let now = view.borrow_and_update().clone();
            if now.outcome.is_some() {
                return Over::Part;
            }
            if self.pass_on(&now, responder).await.is_err() {
                return Over::Connection;
            }
            let changed = match deadline {
                None => Ok(view.changed().await),
                Some(at) => tokio::time::timeout_at(at, view.changed()).await,
            };
            match changed {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Over::Part,
                Err(_) => return Over::Deadline,
            }
        }
    }

    async fn pass_on(
        &mut self,
        now: &PartView,
        responder: &mut Responder,
    ) -> Result<(), hearth_fabric::quic::Error> {
        if self.position.replace(now.queue_position) != Some(now.queue_position) {
            responder.accepted(Accepted { queue_position: now.queue_position }).await?;
        }
        let progress = (now.phase, now.step, now.steps);
        let told = self.progress.replace(progress) == Some(progress);
        if now.phase != Phase::Queue && !told {
            let progress = Progress { phase: now.phase, step: now.step, steps: now.steps };
            responder.progress(&progress).await?;
        }
        if let Some(preview) = now.preview.as_ref().filter(|preview| preview.step > self.preview) {
            self.preview = preview.step;
            let attachment = attachment("preview", "image/png", &preview.png);
            let header = Preview { step: preview.step, attachment };
            responder.preview(&header, preview.png.clone()).await?;
        }
        Ok(())
    }
}

async fn reply(shared: &Shared, subscription: &Subscription, responder: Responder) {
    let outcome = subscription.view.borrow().outcome.clone();
    let sent = match outcome.as_deref() {
        Some(Ok(finished)) => value(&finished.value).map(|encoded| (encoded, finished)),
        Some(Err(error)) => Err(error.clone()),
        None => Err(CallError::new(ErrorKind::Internal, "the part was forgotten")),
    };
    match sent {
        Ok((encoded, Finished { value: generated, bytes })) => {
            let name = generated.part.index.to_string();
            let attachment = attachment(&name, &generated.media_type, bytes);
            let payload = vec![bytes.clone()];
            responder.succeed(encoded, vec![attachment], payload, Trailer::default()).await;
        }
        Err(error) => responder.fail(shared.located(error)).await,
    }
}
