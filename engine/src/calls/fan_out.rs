//! One call to several workers at once.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::{CallError, ErrorKind, WorkerId};

use super::envelope::RawEnvelope;
use crate::executor::{CallEvent, CallReply, Executor, OutgoingCall};
use crate::fleet::{self, WorkerView};

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
