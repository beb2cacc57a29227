//! One call to many workers: who runs it, whose answer comes back, one envelope per rank.
//!
//! The fan-out is concurrent, so it takes as long as the slowest rank, and the timeout cancels what
//! is still open. Nothing is retried here: a caller that asks every rank wants to know each answer.
//!
//! [`Engine::call`](crate::Engine::call) makes a call of a built-in method with its types,
//! [`Engine::collective_rpc`](crate::Engine::collective_rpc) one of any method by its name, in JSON.

mod args;
mod envelope;
mod fan_out;
mod options;
mod targets;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::{CancelArgs, Method};

use crate::draw;
use crate::executor::{Executor, OutgoingCall};
use crate::fleet::WorkerView;
use crate::known_as::{self, What};
use fan_out::fan_out;
use targets::{everyone, targets};

pub(crate) use args::{encode, encode_json};
pub use envelope::{Envelope, RawEnvelope, WorkerHealth};
pub use options::{Exec, ReplyFrom, RpcOptions};

/// How long workers may take to confirm a cancellation.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls a method on the workers that `options` names, with arguments and values as they travel.
///
/// # Errors
/// `invalid_argument` for a rank that no worker has or a timeout of zero; `no_worker` for an empty
/// fleet; `worker_lost` for a worker that isn't known any more.
pub(crate) async fn collective(
    executor: &dyn Executor,
    method: &str,
    args: Bytes,
    attachments: Vec<(Attachment, Bytes)>,
    options: &RpcOptions,
) -> Result<Vec<RawEnvelope>, CallError> {
    let timeout = options.timeout;
    if timeout.is_zero() {
        return Err(CallError::invalid("timeout", "timeout is 0: give the time to wait"));
    }
    let view = Arc::clone(&executor.fleet().borrow());
    let targets = targets(&view, options)?;
    let control = control_call(method, args, timeout);
    let call = OutgoingCall { attachments, trace: options.trace, ..control };
    let mut envelopes = fan_out(executor, &targets, &call, timeout).await;
    explain_unknown_method(&mut envelopes, method);
    match options.reply {
        ReplyFrom::All => {}
        ReplyFrom::Unique(rank) => envelopes.retain(|envelope| envelope.rank == Some(rank)),
    }
    Ok(envelopes)
}

/// Asks every worker for its health, all at once.
pub(crate) async fn health(executor: &dyn Executor, timeout: Duration) -> Vec<WorkerHealth> {
    let view = Arc::clone(&executor.fleet().borrow());
    let workers: Vec<_> = everyone(&view).collect();
    health_of(executor, &workers, timeout).await
}

/// Asks these workers for their health, all at once; the answers are in their order.
pub(crate) async fn health_of(
    executor: &dyn Executor,
    workers: &[&WorkerView],
    timeout: Duration,
) -> Vec<WorkerHealth> {
    let args = Bytes::from_static(codec::EMPTY);
    let call = control_call(Method::CheckHealth.name(), args, timeout);
    let envelopes = fan_out(executor, workers, &call, timeout).await;
    envelopes.into_iter().map(RawEnvelope::decode).collect()
}

/// Asks all workers to cancel a request, and waits up to two seconds for their answers.
pub(crate) async fn cancel(executor: &dyn Executor, id: &RequestId) -> Vec<RawEnvelope> {
    let args = CancelArgs { request_id: id.clone() };
    // A request id is far below every limit.
    let args = codec::encode(&args).unwrap_or_else(|_| codec::EMPTY.to_vec());
    let call = control_call(Method::Cancel.name(), args.into(), CANCEL_TIMEOUT);
    let view = Arc::clone(&executor.fleet().borrow());
    let workers: Vec<_> = everyone(&view).collect();
    fan_out(executor, &workers, &call, CANCEL_TIMEOUT).await
}

/// A call without bulk parts.
pub(crate) fn control_call(method: &str, args: Bytes, timeout: Duration) -> OutgoingCall {
    OutgoingCall {
        id: draw::request_id(),
        attempt: 0,
        method: method.to_owned(),
        args,
        deadline: Some(timeout),
        trace: None,
        attachments: Vec::new(),
    }
}

/// Adds what a method of another executor is called here to the errors that it is unknown.
fn explain_unknown_method(envelopes: &mut [RawEnvelope], method: &str) {
    let hint = known_as::hint(What::Method, method);
    for envelope in envelopes {
        if let Err(error) = &mut envelope.outcome
            && error.kind == ErrorKind::UnknownMethod
        {
            error.message += &hint;
        }
    }
}
