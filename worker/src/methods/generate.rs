//! `generate`: one item of a request, and how it goes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::trace::TraceParent;
use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::{IncomingCall, Payload, Peer, Responder};
use hearth_protocol::message::{Request, Trailer};

use super::arguments::arguments;
use super::relay::{End, Relay, deadline_exceeded, deadline_of};
use super::reply::{attachment, value};
use crate::admission;
use crate::compute::Subscription;
use crate::items::ItemOutput;
use crate::shared::Shared;

/// How long what is being sent at the deadline may take.
const LAST_WORD: Duration = Duration::from_millis(500);

pub(super) async fn generate(shared: Arc<Shared>, call: IncomingCall) {
    let IncomingCall { peer, request, payload, mut responder } = call;
    let cancelled = responder.cancelled();
    let mut subscription = match admit(&shared, &peer, &request, payload).await {
        Ok(subscription) => subscription,
        Err(error) => return responder.fail(shared.located(error)).await,
    };
    let deadline = deadline_of(&request);
    let mut relay = Relay::default();
    let end = {
        let relayed = relay.run(&mut subscription.view, &mut responder, deadline);
        let stalled = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at + LAST_WORD).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancelled => End::Caller,
            end = relayed => end,
            () = stalled => End::Deadline,
        }
    };
    match end {
        End::Item => reply(&shared, &subscription, responder).await,
        End::Caller => subscription.give_up(ErrorKind::Cancelled),
        End::Deadline => {
            subscription.give_up(ErrorKind::DeadlineExceeded);
            responder.fail(shared.located(deadline_exceeded())).await;
        }
        // The item goes on without this caller.
        End::Connection => {}
    }
}

async fn admit(
    shared: &Shared,
    peer: &Peer,
    request: &Request,
    payload: Payload,
) -> Result<Subscription, CallError> {
    let args = arguments(request)?;
    // One that can't be read belongs to no trace, as the specification wants it.
    let trace = request.traceparent.as_deref().and_then(|text| text.parse::<TraceParent>().ok());
    if let Some(trace) = trace {
        tracing::debug!(id = %request.id, trace_id = trace.trace_id(), "a traced call has come");
    }
    let Shared { inbox, journal, preparations, .. } = shared;
    let admitted = admission::admit(inbox, journal, preparations, request, args, payload).await?;
    admitted.note_caller(&peer.id.to_string());
    Ok(admitted)
}

async fn reply(shared: &Shared, subscription: &Subscription, responder: Responder) {
    let outcome = subscription.view.borrow().outcome.clone();
    let sent = match outcome.as_deref() {
        Some(Ok(output)) => value(&output.value).map(|encoded| (encoded, output)),
        Some(Err(error)) => Err(error.clone()),
        None => Err(CallError::new(ErrorKind::Internal, "the item was forgotten")),
    };
    match sent {
        Ok((encoded, ItemOutput { value: generated, bytes })) => {
            let name = generated.item.index.to_string();
            let attachment = attachment(&name, &generated.media_type, bytes);
            let payload = vec![bytes.clone()];
            responder.succeed(encoded, vec![attachment], payload, Trailer::default()).await;
        }
        Err(error) => responder.fail(shared.located(error)).await,
    }
}
