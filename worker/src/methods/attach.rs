//! `attach`: a request's parts taken up again, by another caller or the same one after a loss.

use std::sync::Arc;

use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::{IncomingCall, Responder};
use hearth_protocol::message::{Request, Trailer};
use hearth_protocol::methods::{AttachArgs, AttachValue, AttachedPart, Part};

use super::generate::{Over, Teller, deadline_of, late};
use super::{arguments, attachment, value};
use crate::parts::Subscription;
use crate::state::Shared;

/// One part's events are passed on; of several there is no telling them apart, so their results
/// alone are. A caller that leaves ends none of them.
pub(crate) async fn attach(shared: Arc<Shared>, call: IncomingCall) {
    let IncomingCall { request, mut responder, .. } = call;
    let cancelled = responder.cancelled();
    let mut parts = match find(&shared, &request) {
        Ok(parts) => parts,
        Err(error) => return responder.fail(shared.located(error)).await,
    };
    let deadline = deadline_of(&request);
    let told = async {
        if let [(_, only)] = parts.as_mut_slice() {
            return Teller::default().tell(&mut only.view, &mut responder, deadline).await;
        }
        for (_, part) in &mut parts {
            // A part that is forgotten has ended.
            let ended = part.view.wait_for(|view| view.outcome.is_some());
            match deadline {
                None => drop(ended.await),
                Some(at) if tokio::time::timeout_at(at, ended).await.is_ok() => {}
                Some(_) => return Over::Deadline,
            }
        }
        Over::Part
    };
    let over = tokio::select! {
        biased;
        () = cancelled => Over::Caller,
        over = told => over,
    };
    match over {
        Over::Part => reply(&shared, &parts, responder).await,
        Over::Deadline => responder.fail(shared.located(late())).await,
        Over::Caller | Over::Connection => {}
    }
}

fn find(shared: &Shared, request: &Request) -> Result<Vec<(Part, Subscription)>, CallError> {
    let args: AttachArgs = arguments(request)?;
    shared.parts.attach(&args.request_id, args.index)
}

async fn reply(shared: &Shared, parts: &[(Part, Subscription)], responder: Responder) {
    let (mut ended, mut attachments, mut payload) = (Vec::new(), Vec::new(), Vec::new());
    for (part, subscription) in parts {
        let outcome = subscription.view.borrow().outcome.clone();
        let (generated, error) = match outcome.as_deref() {
            Some(Ok(finished)) => {
                let name = part.index.to_string();
                attachments.push(attachment(&name, &finished.value.media_type, &finished.bytes));
                payload.push(finished.bytes.clone());
                (Some(finished.value.clone()), None)
            }
            Some(Err(error)) => (None, Some(shared.located(error.clone()))),
            None => {
                let error = CallError::new(ErrorKind::Internal, "the part was forgotten");
                (None, Some(shared.located(error)))
            }
        };
        ended.push(AttachedPart { part: *part, generated, error });
    }
    match value(&AttachValue { parts: ended }) {
        Ok(encoded) => responder.succeed(encoded, attachments, payload, Trailer::default()).await,
        Err(error) => responder.fail(shared.located(error)).await,
    }
}
