//! `attach`: a request's items taken up again, by another caller or the same one after a loss.

use std::sync::Arc;

use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::{IncomingCall, Responder};
use hearth_protocol::message::{Request, Trailer};
use hearth_protocol::methods::{AttachArgs, AttachValue, AttachedItem, ItemIndex};

use super::arguments::arguments;
use super::relay::{End, Relay, deadline_exceeded, deadline_of};
use super::reply::{attachment, value};
use crate::compute::Subscription;
use crate::shared::Shared;

/// One item's events are passed on; those of several can't be told from each other, so their
/// results alone are. A caller that leaves ends none of them.
pub(super) async fn attach(shared: Arc<Shared>, call: IncomingCall) {
    let IncomingCall { peer, request, mut responder, .. } = call;
    let cancelled = responder.cancelled();
    let mut items = match find(&shared, &request) {
        Ok(items) => items,
        Err(error) => return responder.fail(shared.located(error)).await,
    };
    for (_, item) in &items {
        item.note_caller(&peer.id.to_string());
    }
    let deadline = deadline_of(&request);
    let relayed = async {
        if let [(_, only)] = items.as_mut_slice() {
            return Relay::default().run(&mut only.view, &mut responder, deadline).await;
        }
        for (_, item) in &mut items {
            // An item that is forgotten has ended.
            let ended = item.view.wait_for(|view| view.outcome.is_some());
            match deadline {
                None => drop(ended.await),
                Some(at) if tokio::time::timeout_at(at, ended).await.is_ok() => {}
                Some(_) => return End::Deadline,
            }
        }
        End::Item
    };
    let end = tokio::select! {
        biased;
        () = cancelled => End::Caller,
        end = relayed => end,
    };
    match end {
        End::Item => reply(&shared, &items, responder).await,
        End::Deadline => responder.fail(shared.located(deadline_exceeded())).await,
        End::Caller | End::Connection => {}
    }
}

fn find(shared: &Shared, request: &Request) -> Result<Vec<(ItemIndex, Subscription)>, CallError> {
    let args: AttachArgs = arguments(request)?;
    Subscription::attach(&shared.inbox, &args.request_id, args.index)
}

async fn reply(shared: &Shared, items: &[(ItemIndex, Subscription)], responder: Responder) {
    let (mut ended, mut attachments, mut payload) = (Vec::new(), Vec::new(), Vec::new());
    for (item, subscription) in items {
        let outcome = subscription.view.borrow().outcome.clone();
        let (generated, error) = match outcome.as_deref() {
            Some(Ok(output)) => {
                let name = item.index.to_string();
                attachments.push(attachment(&name, &output.value.media_type, &output.bytes));
                payload.push(output.bytes.clone());
                (Some(output.value.clone()), None)
            }
            Some(Err(error)) => (None, Some(shared.located(error.clone()))),
            None => {
                let error = CallError::new(ErrorKind::Internal, "the item was forgotten");
                (None, Some(shared.located(error)))
            }
        };
        ended.push(AttachedItem { item: *item, generated, error });
    }
    match value(&AttachValue { items: ended }) {
        Ok(encoded) => responder.succeed(encoded, attachments, payload, Trailer::default()).await,
        Err(error) => responder.fail(shared.located(error)).await,
    }
}
