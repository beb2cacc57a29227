//! Methods that change what the worker does.

use std::sync::Arc;

use hearth_api::CallError;
use hearth_protocol::message::Request;
use hearth_protocol::methods::{CancelArgs, CancelValue, DrainValue, RequestList};

use super::{Answer, arguments, value};
use crate::state::Shared;

pub(crate) fn cancel(shared: &Shared, request: &Request) -> Result<Vec<u8>, CallError> {
    let args: CancelArgs = arguments(request)?;
    value(&CancelValue { cancelled: shared.parts.cancel_request(&args.request_id) })
}

pub(crate) fn list_requests(shared: &Shared) -> Result<Vec<u8>, CallError> {
    value(&RequestList { requests: shared.parts.list() })
}

pub(crate) async fn drain(shared: Arc<Shared>) -> Result<Answer, CallError> {
    shared.drain().await;
    Ok(Answer { value: standing(&shared)?, ..Answer::default() })
}

pub(crate) async fn resume(shared: Arc<Shared>) -> Result<Answer, CallError> {
    shared.resume().await?;
    Ok(Answer { value: standing(&shared)?, ..Answer::default() })
}

pub(crate) fn shutdown(shared: &Shared) -> Result<Vec<u8>, CallError> {
    shared.end();
    shared.shutdown.cancel();
    standing(shared)
}

fn standing(shared: &Shared) -> Result<Vec<u8>, CallError> {
    let counts = shared.parts.counts();
    let state = *shared.state.borrow();
    value(&DrainValue { state, running: counts.running, queued: counts.queued })
}
