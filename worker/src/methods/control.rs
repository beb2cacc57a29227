//! Methods that change what the worker does.

use std::time::Instant;

use hearth_api::CallError;
use hearth_fabric::quic::Peer;
use hearth_protocol::message::Request;
use hearth_protocol::methods::{CancelArgs, CancelValue, DrainValue, RequestList};
use hearth_protocol::role::Role;

use super::arguments::arguments;
use super::call::{Answer, MethodCall};
use super::reply::value;
use crate::compute::Plan;
use crate::shared::Shared;

pub(super) fn cancel(
    shared: &Shared,
    peer: &Peer,
    request: &Request,
) -> Result<Vec<u8>, CallError> {
    let args: CancelArgs = arguments(request)?;
    let caller = match peer.id.role() {
        Role::Admin => None,
        Role::Coordinator | Role::Worker => Some(peer.id.to_string()),
    };
    let cancelled =
        shared.inbox.change(|plan, now| plan.cancel(&args.request_id, caller.as_deref(), now))?;
    value(&CancelValue { cancelled })
}

pub(super) fn list_requests(shared: &Shared, _: &Request) -> Result<Vec<u8>, CallError> {
    let requests = shared.inbox.look(|plan| plan.items().list(Instant::now()));
    value(&RequestList { requests })
}

pub(super) async fn drain(MethodCall { shared, .. }: MethodCall) -> Result<Answer, CallError> {
    shared.drain().await;
    Ok(Answer { value: drain_value(&shared)?, ..Answer::default() })
}

pub(super) async fn resume(MethodCall { shared, .. }: MethodCall) -> Result<Answer, CallError> {
    shared.resume().await?;
    Ok(Answer { value: drain_value(&shared)?, ..Answer::default() })
}

pub(super) fn shutdown(shared: &Shared, _: &Request) -> Result<Vec<u8>, CallError> {
    shared.inbox.change(Plan::end);
    shared.shutdown.cancel();
    drain_value(shared)
}

fn drain_value(shared: &Shared) -> Result<Vec<u8>, CallError> {
    let (state, counts) = shared.inbox.look(|plan| (plan.life().state(), plan.items().counts()));
    value(&DrainValue { state, running: counts.running, queued: counts.queued })
}
