//! One call to several workers at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::{CallError, ErrorKind, RequestId, WorkerId};
use hearth_protocol::codec;
use hearth_protocol::methods::{CancelArgs, Method};

use super::envelope::RawEnvelope;
use super::targets::everyone;
use crate::draw;
use crate::executor::{CallEvent, CallReply, Executor, OutgoingCall};
use crate::fleet::{self, WorkerView};

/// How long workers may take to confirm a cancellation.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks all workers to cancel a request, and waits up to two seconds for their answers.
pub(crate) async fn cancel(executor: &dyn Executor, id: &RequestId) -> Vec<RawEnvelope> {
    let view = Arc::clone(&executor.fleet().borrow());
    let targets: Vec<_> = everyone(&view).collect();
    let args = CancelArgs { request_id: id.clone() };
    // A request id is far below every limit.
    let args = codec::encode(&args).unwrap_or_else(|_| codec::EMPTY.to_vec());
    let call = control_call(Method::Cancel.name(), args.into(), CANCEL_TIMEOUT);
    fan_out(executor, &targets, &call, CANCEL_TIMEOUT).await
}

/// A call that carries no files.
pub(super) fn control_call(method: &str, args: Bytes, timeout: Duration) -> OutgoingCall {
    OutgoingCall {
        id: draw::request_id(),
        attempt: 0,
        method: method.to_owned(),
        args,
        deadline: Some(timeout),
        traceparent: None,
        attachments: Vec::new(),
    }
}

/// Calls the targets at once; the envelopes are in the order of the targets.
pub(super) async fn fan_out(
    executor: &dyn Executor,
    targets: &[&WorkerView],
    call: &OutgoingCall,
    timeout: Duration,
) -> Vec<RawEnvelope> {
    let started = Instant::now();
    let mut open: FuturesUnordered<_> = targets
        .iter()
        .enumerate()
        .map(|(index, worker)| async move { (index, ask(executor, worker, call).await) })
        .collect();
    let mut answers: Vec<_> = targets.iter().map(|_| None).collect();
    let all = async {
        while let Some((index, answer)) = open.next().await {
            answers[index] = Some((answer, started.elapsed()));
        }
    };
    // What is still open is cancelled when `open` goes.
    let _ = tokio::time::timeout(timeout, all).await;
    drop(open);
    let envelope = |(worker, answer): (&&WorkerView, Option<_>)| {
        let (answer, elapsed) = answer
            .unwrap_or_else(|| (Err(late(&worker.id, &call.method, timeout)), started.elapsed()));
        RawEnvelope::new(worker, answer, elapsed)
    };
    targets.iter().zip(answers).map(envelope).collect()
}

/// Calls one worker and waits for its reply.
async fn ask(
    executor: &dyn Executor,
    worker: &WorkerView,
    call: &OutgoingCall,
) -> Result<CallReply, CallError> {
    if !worker.status.is_connected() {
        return Err(fleet::not_connected(worker));
    }
    let mut stream = executor.call(&worker.id, call).await?;
    loop {
        if let CallEvent::Reply(reply) = stream.next().await? {
            return Ok(reply);
        }
    }
}

fn late(worker: &WorkerId, method: &str, timeout: Duration) -> CallError {
    let message = format!("{worker} did not answer {method} within {timeout:?}");
    CallError::new(ErrorKind::DeadlineExceeded, message)
}
