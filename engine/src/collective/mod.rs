//! One call to many workers: who runs it, whose answer comes back, one envelope per rank.
//!
//! The fan-out is concurrent, so the slowest rank alone sets the time, and the timeout cancels what
//! is still open. Nothing is retried here: a caller that asks every rank wants every rank's word.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::{CallError, ErrorKind, Rank, RequestId, WorkerId};
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::{CancelArgs, Health, Method};

use crate::Engine;
use crate::executor::{CallEvent, CallReply, Executor, OutgoingCall};
use crate::fleet::{FleetView, WorkerView};
use crate::known_as::{self, What};

/// How long workers have to say that they cancelled.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Who runs a collective call, whose answer is returned, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcOptions {
    /// Time until what has not answered is cancelled.
    pub timeout: Duration,
    /// Who runs it.
    pub exec: Exec,
    /// Whose answer is returned.
    pub reply: ReplyFrom,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), exec: Exec::All, reply: ReplyFrom::All }
    }
}

/// Who runs a collective call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exec {
    /// Every worker.
    All,
    /// The worker of this rank alone.
    Rank(Rank),
}

/// Whose answer a collective call returns. All that run it are waited for in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyFrom {
    /// Everyone's who runs it.
    All,
    /// This rank's alone.
    Unique(Rank),
}

/// One worker's answer.
#[derive(Debug)]
pub struct Envelope {
    /// The worker.
    pub worker: WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// The method's value, or why there is none.
    pub outcome: Result<serde_json::Value, CallError>,
    /// Bulk parts of the answer.
    pub attachments: Vec<(Attachment, Bytes)>,
    /// Time until it was there.
    pub elapsed: Duration,
}

/// One worker's answer as it came.
#[derive(Debug)]
pub struct RawEnvelope {
    /// The worker.
    pub worker: WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// The method's value, a MessagePack map, or why there is none.
    pub outcome: Result<Bytes, CallError>,
    /// Bulk parts of the answer.
    pub attachments: Vec<(Attachment, Bytes)>,
    /// Time until it was there.
    pub elapsed: Duration,
}

/// One worker's health.
#[derive(Debug)]
pub struct WorkerHealth {
    /// The worker.
    pub worker: WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// What it says of itself, or why it says nothing.
    pub outcome: Result<Health, CallError>,
    /// Time until it was known.
    pub elapsed: Duration,
}

impl WorkerHealth {
    /// Whether the worker answered, and takes requests.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|health| health.healthy)
    }
}

impl Engine {
    /// Calls a method on every worker, or on one, and returns an envelope per worker in the order
    /// of their ranks. A worker that can't be reached has an error in its envelope.
    ///
    /// # Errors
    /// `invalid_argument` for arguments that are no object, a rank that no worker has or a timeout
    /// of zero; `no_worker` for an empty fleet. What a worker reports is in its envelope.
    pub async fn collective_rpc(
        &self,
        method: &str,
        args: serde_json::Value,
        options: RpcOptions,
    ) -> Result<Vec<Envelope>, CallError> {
        let envelopes = self.collective_raw(method, encode_args(&args)?, options).await?;
        Ok(envelopes.into_iter().map(Envelope::from).collect())
    }

    /// [`Engine::collective_rpc`] with arguments and values as they travel: MessagePack maps.
    ///
    /// # Errors
    /// As [`Engine::collective_rpc`].
    pub async fn collective_raw(
        &self,
        method: &str,
        args: Bytes,
        options: RpcOptions,
    ) -> Result<Vec<RawEnvelope>, CallError> {
        self.collective_with(method, args, Vec::new(), options).await
    }

    /// [`Engine::collective_raw`] with bulk parts, such as tensors, which all that run it get.
    ///
    /// # Errors
    /// As [`Engine::collective_rpc`].
    pub async fn collective_with(
        &self,
        method: &str,
        args: Bytes,
        attachments: Vec<(Attachment, Bytes)>,
        options: RpcOptions,
    ) -> Result<Vec<RawEnvelope>, CallError> {
        check_timeout(options.timeout)?;
        let view = self.view();
        let targets = targets(&view, options)?;
        let call = OutgoingCall { attachments, ..self.control_call(method, args, options.timeout) };
        let mut envelopes = self.call_each(&targets, &call, options.timeout).await;
        if let ReplyFrom::Unique(rank) = options.reply {
            envelopes.retain(|envelope| envelope.rank == Some(rank));
        }
        Ok(envelopes)
    }

    /// Calls a method on one worker, whatever its rank.
    ///
    /// # Errors
    /// `invalid_argument` for arguments that are no object or a timeout of zero; `worker_lost` for
    /// a worker that isn't known any more; what the worker reports.
    pub async fn call_worker(
        &self,
        worker: &WorkerId,
        method: &str,
        args: serde_json::Value,
        timeout: Duration,
    ) -> Result<serde_json::Value, CallError> {
        check_timeout(timeout)?;
        let call = self.control_call(method, encode_args(&args)?, timeout);
        let view = self.view();
        let target = everyone(&view).find(|known| known.id == *worker);
        let answers = self.call_each(target.as_slice(), &call, timeout).await;
        let unknown = || {
            let message = format!("worker {worker} is not known any more");
            CallError::new(ErrorKind::WorkerLost, message)
        };
        answers.into_iter().next().map(Envelope::from).ok_or_else(unknown)?.outcome
    }

    /// Asks every worker for its health, all at once.
    pub async fn check_health(&self, timeout: Duration) -> Vec<WorkerHealth> {
        let view = self.view();
        let targets: Vec<_> = everyone(&view).collect();
        let args = Bytes::from_static(codec::EMPTY);
        let call = self.control_call(Method::CheckHealth.name(), args, timeout);
        let envelopes = fan_out(self.executor(), &targets, &call, timeout).await;
        envelopes.into_iter().map(WorkerHealth::from).collect()
    }

    /// Cancels a request, whoever submitted it, on every worker that has a part of it.
    pub async fn cancel(&self, id: &RequestId) -> Vec<Envelope> {
        let view = self.view();
        let targets: Vec<_> = everyone(&view).collect();
        cancel_on(self, &targets, id).await
    }

    /// Calls workers at once. Where they don't know the method, its name of today is said.
    async fn call_each(
        &self,
        targets: &[&WorkerView],
        call: &OutgoingCall,
        timeout: Duration,
    ) -> Vec<RawEnvelope> {
        let mut envelopes = fan_out(self.executor(), targets, call, timeout).await;
        let hint = known_as::hint(What::Method, &call.method);
        for envelope in &mut envelopes {
            if let Err(error) = &mut envelope.outcome
                && error.kind == ErrorKind::UnknownMethod
            {
                error.message += &hint;
            }
        }
        envelopes
    }

    fn control_call(&self, method: &str, args: Bytes, timeout: Duration) -> OutgoingCall {
        OutgoingCall {
            id: self.draw_id(),
            attempt: 0,
            method: method.to_owned(),
            args,
            deadline: Some(timeout),
            traceparent: None,
            attachments: Vec::new(),
        }
    }
}

/// Asks some workers to cancel a request.
async fn cancel_on(engine: &Engine, targets: &[&WorkerView], id: &RequestId) -> Vec<Envelope> {
    let args = CancelArgs { request_id: id.clone() };
    // A request id is far below every limit.
    let args = codec::encode(&args).unwrap_or_else(|_| codec::EMPTY.to_vec());
    let call = engine.control_call(Method::Cancel.name(), args.into(), CANCEL_TIMEOUT);
    let envelopes = fan_out(engine.executor(), targets, &call, CANCEL_TIMEOUT).await;
    envelopes.into_iter().map(Envelope::from).collect()
}

fn check_timeout(timeout: Duration) -> Result<(), CallError> {
    if timeout.is_zero() {
        return Err(CallError::invalid("timeout", "timeout is 0: give the time to wait"));
    }
    Ok(())
}

/// JSON arguments as they travel. None at all is an empty map.
fn encode_args(args: &serde_json::Value) -> Result<Bytes, CallError> {
    match args {
        serde_json::Value::Null => Ok(Bytes::from_static(codec::EMPTY)),
        serde_json::Value::Object(_) => codec::encode(args).map(Bytes::from).map_err(|error| {
            CallError::new(ErrorKind::TooLarge, "args don't fit").caused_by(&error)
        }),
        other => Err(CallError::invalid(
            "args",
            format!("args is {other}: give an object, as in {{\"level\": 1}}"),
        )),
    }
}

fn everyone(view: &FleetView) -> impl Iterator<Item = &WorkerView> {
    view.workers.iter().map(|worker| &**worker)
}

/// The workers that run a call.
fn targets(view: &FleetView, options: RpcOptions) -> Result<Vec<&WorkerView>, CallError> {
    if view.workers.is_empty() {
        return Err(crate::fleet::no_worker(view, "no worker is known"));
    }
    let has = |rank: Rank| everyone(view).filter(move |worker| worker.rank == Some(rank));
    let unknown = |param: &str, rank: Rank| {
        let message = format!("{param} is {rank}, but no worker has that rank: {}", ranks(view));
        CallError::invalid(param, message)
    };
    let targets: Vec<_> = match options.exec {
        Exec::All => everyone(view).collect(),
        Exec::Rank(rank) => has(rank).collect(),
    };
    if let (Exec::Rank(rank), true) = (options.exec, targets.is_empty()) {
        return Err(unknown("rank", rank));
    }
    if let ReplyFrom::Unique(rank) = options.reply {
        if has(rank).next().is_none() {
            return Err(unknown("reply_rank", rank));
        }
        if !targets.iter().any(|worker| worker.rank == Some(rank)) {
            let message = format!(
                "reply_rank is {rank}, but that rank does not run the call: give the same as rank, \
                 or no rank"
            );
            return Err(CallError::invalid("reply_rank", message));
        }
    }
    Ok(targets)
}

/// The ranks that there are, for people.
fn ranks(view: &FleetView) -> String {
    let ranks: Vec<_> = everyone(view).filter_map(|worker| worker.rank).map(|r| r.0).collect();
    match (&ranks[..], ranks.iter().max()) {
        ([], _) | (_, None) => "none is known yet".to_owned(),
        ([one], _) => format!("there is {one}"),
        (all, Some(&last)) if all.len() == last as usize + 1 => format!("there are 0 to {last}"),
        (all, _) => {
            let all: Vec<_> = all.iter().map(ToString::to_string).collect();
            format!("there are {}", all.join(", "))
        }
    }
}

/// Calls the targets at once; the envelopes are in the order of the targets.
async fn fan_out(
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
        return Err(crate::fleet::not_connected(worker));
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

impl RawEnvelope {
    fn new(worker: &WorkerView, answer: Result<CallReply, CallError>, elapsed: Duration) -> Self {
        let (outcome, attachments) = match answer {
            Ok(reply) => (reply.outcome, reply.attachments),
            Err(error) => (Err(error), Vec::new()),
        };
        let outcome = outcome.map_err(|error| error.at(&worker.id, worker.rank));
        Self { worker: worker.id.clone(), rank: worker.rank, outcome, attachments, elapsed }
    }
}

impl From<RawEnvelope> for Envelope {
    fn from(raw: RawEnvelope) -> Self {
        let RawEnvelope { worker, rank, outcome, attachments, elapsed } = raw;
        let outcome = outcome.and_then(|value| decode(&value, &worker, rank));
        Self { worker, rank, outcome, attachments, elapsed }
    }
}

impl From<RawEnvelope> for WorkerHealth {
    fn from(raw: RawEnvelope) -> Self {
        let RawEnvelope { worker, rank, outcome, elapsed, .. } = raw;
        let outcome = outcome.and_then(|value| decode(&value, &worker, rank));
        Self { worker, rank, outcome, elapsed }
    }
}

/// Reads a value that a worker sent.
fn decode<T: serde::de::DeserializeOwned>(
    value: &[u8],
    worker: &WorkerId,
    rank: Option<Rank>,
) -> Result<T, CallError> {
    codec::decode(value).map_err(|error| {
        CallError::new(ErrorKind::Protocol, "the value is not what the method gives")
            .caused_by(&error)
            .at(worker, rank)
    })
}
