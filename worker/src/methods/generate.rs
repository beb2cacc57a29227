//! `generate`: hands a part to the engine and tells the caller how it goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_fabric::quic::{IncomingCall, Responder};
use hearth_protocol::generation::Task;
use hearth_protocol::message::{Accepted, Attachment, Phase, Preview, Progress, Request, Trailer};
use hearth_protocol::methods::GenerateArgs;
use hearth_protocol::record::WorkerState;
use hearth_protocol::{CallError, ErrorKind};

use super::{arguments, value};
use crate::engine::{invalid, to_generation};
use crate::parts::{Finished, PartKey, PartView, Subscription, Wanted};
use crate::state::Shared;

pub(crate) async fn generate(shared: Arc<Shared>, call: IncomingCall) {
    let IncomingCall { request, mut responder, .. } = call;
    let cancelled = responder.cancelled();
    let mut subscription = match admit(&shared, &request) {
        Ok(subscription) => subscription,
        Err(error) => return responder.fail(shared.located(error)).await,
    };
    let deadline = async {
        match request.deadline_ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    };
    let mut teller = Teller::default();
    let over = {
        let told = teller.tell_until_ended(&mut subscription.view, &mut responder);
        tokio::select! {
            biased;
            () = cancelled => Over::Caller,
            () = deadline => Over::Deadline,
            told = told => told,
        }
    };
    match over {
        Over::Part => reply(&shared, &subscription, responder).await,
        Over::Caller => subscription.give_up(ErrorKind::Cancelled),
        Over::Deadline => {
            subscription.give_up(ErrorKind::DeadlineExceeded);
            let message = "the deadline passed: give more time or fewer steps";
            let error = CallError::new(ErrorKind::DeadlineExceeded, message);
            responder.fail(shared.located(error)).await;
        }
        // The part goes on without this caller.
        Over::Connection => {}
    }
}

/// What came first.
enum Over {
    Part,
    Caller,
    Deadline,
    Connection,
}

/// Checks everything that can be checked before anything is queued.
fn admit(shared: &Arc<Shared>, request: &Request) -> Result<Subscription, CallError> {
    let args: GenerateArgs = arguments(request)?;
    args.request.check()?;
    let (part, images) = (args.part, args.request.images());
    if part.index >= part.of || part.of != images {
        let message =
            format!("part {} of {} does not exist: {images} are asked for", part.index, part.of);
        return Err(CallError::invalid("part", message));
    }
    if *shared.state.borrow() == WorkerState::Loading {
        let message = "the worker still loads its models: try again or ask another worker";
        return Err(CallError::new(ErrorKind::NotReady, message));
    }
    let (model, description) = shared.models.resolve(args.request.model.as_deref())?;
    let generation = to_generation(&args.request)?;
    if let Some(description) = description {
        let task = args.request.task.map(Task::name);
        if let Some(task) = task.filter(|task| !description.tasks.contains(task)) {
            let known = description.tasks.join(", ");
            let message = format!("task {task} is not among this model's: use {known}");
            return Err(CallError::invalid("task", message));
        }
        description.check(&generation).map_err(|error| invalid(&error))?;
    }
    let key = PartKey { request: request.id.clone(), index: args.part.index };
    let deadline = request.deadline_ms.map(Duration::from_millis);
    shared.parts.subscribe(Wanted { args, key, model, deadline })
}

/// What the caller was told already.
#[derive(Default)]
struct Teller {
    position: Option<u32>,
    progress: Option<(Phase, u32, u32)>,
    preview: u32,
}

impl Teller {
    async fn tell_until_ended(
        &mut self,
        view: &mut tokio::sync::watch::Receiver<PartView>,
        responder: &mut Responder,
    ) -> Over {
        loop {
            let now = view.borrow_and_update().clone();
            if now.outcome.is_some() {
                return Over::Part;
            }
            if self.tell(&now, responder).await.is_err() {
                return Over::Connection;
            }
            if view.changed().await.is_err() {
                return Over::Part;
            }
        }
    }

    async fn tell(
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

fn attachment(name: &str, media_type: &str, body: &Bytes) -> Attachment {
    Attachment {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        len: body.len() as u64,
        tensor: None,
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
