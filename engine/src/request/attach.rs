//! Attaching to a request that workers already have, for a caller that lost it or for another one.
//!
//! Nothing is planned or computed here. All workers are asked for the request's parts, and their
//! events are passed on to the caller; leaving ends none of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::{CallError, ErrorKind, Rank, RequestId, WorkerId};
use hearth_base::task::OwnedTask;
use hearth_protocol::codec;
use hearth_protocol::methods::{
    AttachArgs, AttachValue, Method, Part, RequestList, RequestState, RequestSummary,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::drive::Results;
use super::mailbox::Mailbox;
use super::part::{Update, image_output, update};
use super::{ImageOutput, RequestEvent, Submission};
use crate::draw;
use crate::executor::{CallReply, OutgoingCall};
use crate::{Engine, RpcOptions};

/// How long workers have to say which requests they know.
const ASK: Duration = Duration::from_secs(5);

/// Where a part is.
#[derive(Debug, Clone)]
struct ItemLocation {
    worker: WorkerId,
    rank: Option<Rank>,
    part: Part,
    seed: u64,
    state: RequestState,
}

impl Engine {
    /// Attaches to a request, whoever submitted it: gives the events from now on, and the results
    /// that its workers have kept. Dropping the submission leaves the request as it is;
    /// [`Submission::cancel`] cancels it.
    ///
    /// # Errors
    /// `unknown_request` where no worker has a part of it, `no_worker`.
    pub async fn attach(&self, id: &RequestId, limit: Duration) -> Result<Submission, CallError> {
        let options = RpcOptions { timeout: ASK, ..RpcOptions::default() };
        let args = serde_json::Value::Null;
        let mut parts: BTreeMap<u32, ItemLocation> = BTreeMap::new();
        let mut silent = Vec::new();
        for envelope in self.collective_rpc(Method::ListRequests.name(), args, options).await? {
            let list = envelope.outcome.and_then(|value| {
                serde_json::from_value::<RequestList>(value).map_err(|error| {
                    CallError::new(ErrorKind::Protocol, "no list of requests").caused_by(&error)
                })
            });
            let (worker, rank) = (envelope.worker, envelope.rank);
            match list {
                Err(error) => silent.push(format!("{worker}: {}", error.message)),
                Ok(list) => {
                    let of_it = list.requests.into_iter().filter(|part| part.request_id == *id);
                    of_it.for_each(|part| note(&mut parts, part, &worker, rank));
                }
            }
        }
        let Some(first) = parts.values().next() else {
            let message =
                format!("no worker has a part of request {id}: hearth requests lists them");
            let error = CallError::new(ErrorKind::UnknownRequest, message);
            return Err(CallError { causes: silent, ..error });
        };
        let (images, seed) = (first.part.of, first.seed);
        let mailbox = Arc::new(Mailbox::default());
        let follower = Follower {
            dispatcher: self.dispatcher().clone(),
            mailbox: Arc::clone(&mailbox),
            id: id.clone(),
            images,
            seed,
            parts,
            limit,
        };
        let cancel = CancellationToken::new();
        let task = OwnedTask::spawn("attached", |_| follower.run());
        let (id, dispatcher) = (id.clone(), self.dispatcher().clone());
        Ok(Submission { id, seed, images, mailbox, cancel, dispatcher, _task: task })
    }
}

/// If several workers know a part, the one that has got furthest counts.
fn note(
    parts: &mut BTreeMap<u32, ItemLocation>,
    summary: RequestSummary,
    worker: &WorkerId,
    rank: Option<Rank>,
) {
    let RequestSummary { part, seed, state, .. } = summary;
    let found = ItemLocation { worker: worker.clone(), rank, part, seed, state };
    let known = parts.entry(part.index).or_insert_with(|| found.clone());
    if value(found.state) > value(known.state) {
        *known = found;
    }
}

fn value(state: RequestState) -> u8 {
    match state {
        RequestState::Done => 4,
        RequestState::Running => 3,
        RequestState::Queued => 2,
        RequestState::Failed | RequestState::Cancelled => 1,
        RequestState::Unknown => 0,
    }
}

struct Follower {
    dispatcher: Dispatcher,
    mailbox: Arc<Mailbox>,
    id: RequestId,
    images: u32,
    seed: u64,
    parts: BTreeMap<u32, ItemLocation>,
    limit: Duration,
}

impl Follower {
    async fn run(self) {
        let started = Instant::now();
        let mut results = Results::new(self.images);
        let all = async {
            let this = &self;
            let part = |found| async move { (found, this.part(found, started).await) };
            let mut open: FuturesUnordered<_> = self.parts.values().map(part).collect();
            while let Some((found, result)) = open.next().await {
                results.set(found.part.index, result, &self.mailbox);
            }
        };
        let left = match tokio::time::timeout(self.limit, all).await {
            Ok(()) => {
                let message = "no worker has this image: ask for it again with the request's seed";
                CallError::new(ErrorKind::UnknownRequest, message)
            }
            Err(_) => {
                let message = format!("not done within {:?}: it goes on, attach again", self.limit);
                CallError::new(ErrorKind::DeadlineExceeded, message)
            }
        };
        results.fill(&left, &self.mailbox);
        let output = results.output(&self.id, self.seed, started);
        self.mailbox.push(RequestEvent::Finished(output));
    }

    /// Follows one part to its end.
    async fn part(&self, found: &ItemLocation, started: Instant) -> Result<ImageOutput, CallError> {
        let (image, worker, rank) = (found.part.index, &found.worker, found.rank);
        self.mailbox.push(RequestEvent::Assigned { image, worker: worker.clone(), rank });
        let args = AttachArgs { request_id: self.id.clone(), index: Some(image) };
        let args = codec::encode(&args).map_err(|error| {
            CallError::new(ErrorKind::TooLarge, "the request's id is too long").caused_by(&error)
        })?;
        let call = OutgoingCall {
            id: draw::request_id(),
            attempt: 0,
            method: Method::Attach.name().to_owned(),
            args: args.into(),
            deadline: Some(self.limit),
            traceparent: None,
            attachments: Vec::new(),
        };
        let located = |error: CallError| error.at(worker, rank);
        let mut stream = self.dispatcher.executor().call(worker, &call).await.map_err(located)?;
        loop {
            match update(stream.next().await.map_err(located)?, image, worker) {
                Update::Event(event) => self.mailbox.push(event),
                Update::Reply(reply) => return ended(reply, found, started).map_err(located),
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

/// A part's result, from the worker's reply.
fn ended(
    reply: CallReply,
    found: &ItemLocation,
    started: Instant,
) -> Result<ImageOutput, CallError> {
    let value: AttachValue = codec::decode(&reply.outcome?).map_err(|error| {
        CallError::new(ErrorKind::Protocol, "the value is no part's").caused_by(&error)
    })?;
    let other =
        || CallError::new(ErrorKind::Protocol, "the reply is not the part's that was asked for");
    let [part] = <[_; 1]>::try_from(value.parts).map_err(|_| other())?;
    match (part.generated, part.error) {
        (Some(generated), None) => {
            let place = (&found.worker, found.rank);
            image_output(generated, reply.attachments, found.part, place, started)
        }
        (None, Some(error)) => Err(error),
        _ => Err(other()),
    }
}
