//! What happens to a request from its arrival until it has a place among the items: its files are
//! taken, its fields checked, all of it prepared for its model. Nothing is computed.

mod files;
mod preparations;
pub(crate) mod prepare;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::CallError;
use hearth_fabric::quic::Payload;
use hearth_protocol::message::Request;
use hearth_protocol::methods::GenerateArgs;

use crate::compute::{Inbox, Preparation, Subscription};
use crate::items::{ItemKey, ItemSpec};
use crate::models::ModelChoice;
use crate::suspects::Journal;
use preparations::Key;
pub(crate) use preparations::Preparations;

/// Takes a call of `generate` on, or attaches it to the item that it asks for. Everything that can
/// be checked is, before anything is queued.
pub(crate) async fn admit(
    inbox: &Arc<Inbox>,
    journal: &Journal,
    preparations: &Preparations,
    request: &Request,
    mut args: GenerateArgs,
    payload: Payload,
) -> Result<Subscription, CallError> {
    let arrival = Instant::now();
    args.request.check()?;
    let (item, images) = (args.item, args.request.images());
    if item.index >= item.of || item.of != images {
        let message =
            format!("item {} of {} does not exist: {images} are asked for", item.index, item.of);
        return Err(CallError::invalid("part", message));
    }
    let key = ItemKey { request: request.id.clone(), index: item.index };
    let choice = choose(inbox, journal, &key, &args)?;
    let brings_files = !args.request.inputs().is_empty();
    let args = if brings_files {
        let headers = request.attachments.clone();
        files::run_with_files(move || files::take(&mut args, &headers, payload).map(|()| args))
            .await?
    } else {
        files::take(&mut args, &request.attachments, payload)?;
        args
    };
    let mut spec = ItemSpec {
        key,
        item,
        digest: args.request.digest(),
        seed: args.request.seed.unwrap_or(0),
        model: args.request.model.clone().unwrap_or_default(),
        deadline: request.deadline_ms.map(Duration::from_millis),
        preview_every: args.request.preview_every,
        max_position: args.max_queue_position,
        is_suspect: !args.lost.is_empty(),
        preparation: Duration::ZERO,
    };
    let Some(choice) = choice else { return Subscription::admit(inbox, spec, args, None) };
    let (args, prepared) = prepare_for(preparations, &spec, args, &choice, brings_files).await?;
    spec.model = choice.name;
    spec.preparation = arrival.elapsed();
    Subscription::admit(inbox, spec, args, prepared)
}

/// The model of a new item, which is refused where there is no place for it, before anything else is
/// done. None for one that is known: it is given, whatever the worker does by now.
fn choose(
    inbox: &Inbox,
    journal: &Journal,
    key: &ItemKey,
    args: &GenerateArgs,
) -> Result<Option<ModelChoice>, CallError> {
    if inbox.look(|plan| plan.holds(key)) {
        return Ok(None);
    }
    let trusted = journal.check(&key.request, &args.lost);
    trusted.inspect_err(|_| inbox.count_refused())?;
    let awake = inbox.look(|plan| plan.life().check_awake());
    awake.inspect_err(|_| inbox.count_refused())?;
    let now = Instant::now();
    let choice = inbox.look(|plan| plan.resolve(args.request.model.as_deref(), now))?;
    let room = inbox.change(|plan, now| plan.check_room(key, args.max_queue_position, now));
    room.inspect_err(|_| inbox.count_refused())?;
    Ok(Some(choice))
}

/// Prepares a request for its model, once for all its items. Where the model isn't there yet, that is
/// done when it is.
async fn prepare_for(
    preparations: &Preparations,
    spec: &ItemSpec,
    args: GenerateArgs,
    choice: &ModelChoice,
    brings_files: bool,
) -> Result<(GenerateArgs, Option<Arc<Preparation>>), CallError> {
    let Some(facts) = choice.facts.clone() else { return Ok((args, None)) };
    let digest = facts.description.digest.clone();
    let key = Key {
        request: spec.key.request.clone(),
        content: spec.digest.clone(),
        model: digest.clone(),
    };
    let args = Arc::new(args);
    let work = {
        let args = Arc::clone(&args);
        move || prepare::prepare(facts.preparer.as_deref(), &args.request)
    };
    let prepared = preparations
        .get(key, async move {
            let prepared = if brings_files {
                files::run_with_files(work).await
            } else {
                files::run(work).await
            };
            Ok(Preparation { prepared: prepared?, digest })
        })
        .await?;
    Ok((Arc::unwrap_or_clone(args), Some(prepared)))
}
