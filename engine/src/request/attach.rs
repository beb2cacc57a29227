//! Attaching to a request that workers already have, for a caller that lost it or for another one.
//!
//! Nothing is planned or computed here. All workers are asked for the request's items, and their
//! events are passed on to the caller; leaving ends none of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::{CallError, ErrorKind, Rank, RequestId, WorkerId};
use hearth_base::task::OwnedTask;
use hearth_protocol::codec;
use hearth_protocol::methods::{
    AttachArgs, AttachValue, ItemIndex, Method, RequestList, RequestState, RequestSummary,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::mailbox::Mailbox;
use super::output::{ItemOutput, RequestEvent};
use super::reply::{Update, item_output, update};
use super::results::Results;
use super::submission::Submission;
use crate::calls::{self, RawEnvelope, RpcOptions};
use crate::executor::CallReply;

/// How long workers have to say which requests they know.
const ASK: Duration = Duration::from_secs(5);

/// Where an item is.
#[derive(Debug, Clone)]
struct ItemLocation {
    worker: WorkerId,
    rank: Option<Rank>,
    item: ItemIndex,
    seed: u64,
    state: RequestState,
}

/// Attaches to a request, whoever submitted it.
///
/// # Errors
/// `unknown_request` if no worker has an item of it, `no_worker`.
pub(crate) async fn attach(
    dispatcher: &Dispatcher,
    id: &RequestId,
    limit: Duration,
) -> Result<Submission, CallError> {
    let items = locate(dispatcher, id).await?;
    let Some(first) = items.values().next() else {
        return Err(CallError::new(ErrorKind::Internal, "a request without items"));
    };
    let (count, seed) = (first.item.of, first.seed);
    let mailbox = Arc::new(Mailbox::default());
    let follower = Follower {
        dispatcher: dispatcher.clone(),
        mailbox: Arc::clone(&mailbox),
        id: id.clone(),
        count,
        seed,
        items,
        limit,
    };
    Ok(Submission {
        id: id.clone(),
        seed,
        items: count,
        mailbox,
        cancel: CancellationToken::new(),
        dispatcher: dispatcher.clone(),
        _task: OwnedTask::spawn("attached", |_| follower.run()),
    })
}

/// Asks all workers for the items of a request that they have: one at least.
async fn locate(
    dispatcher: &Dispatcher,
    id: &RequestId,
) -> Result<BTreeMap<u32, ItemLocation>, CallError> {
    let method = Method::ListRequests.name();
    let args = Bytes::from_static(codec::EMPTY);
    let options = RpcOptions::new().timeout(ASK);
    let asked = calls::collective(dispatcher.executor(), method, args, Vec::new(), &options);
    let mut items: BTreeMap<u32, ItemLocation> = BTreeMap::new();
    let mut silent = Vec::new();
    for envelope in asked.await?.into_iter().map(RawEnvelope::decode::<RequestList>) {
        let (worker, rank) = (envelope.worker, envelope.rank);
        match envelope.outcome {
            Err(error) => silent.push(format!("{worker}: {}", error.message)),
            Ok(list) => {
                let of_it = list.requests.into_iter().filter(|item| item.request_id == *id);
                of_it.for_each(|item| note(&mut items, item, &worker, rank));
            }
        }
    }
    if items.is_empty() {
        let message = format!("no worker has an item of request {id}: hearth requests lists them");
        let error = CallError::new(ErrorKind::UnknownRequest, message);
        return Err(CallError { causes: silent, ..error });
    }
    Ok(items)
}

/// If several workers know an item, the one that has got furthest counts.
fn note(
    items: &mut BTreeMap<u32, ItemLocation>,
    summary: RequestSummary,
    worker: &WorkerId,
    rank: Option<Rank>,
) {
    let RequestSummary { item, seed, state, .. } = summary;
    let found = ItemLocation { worker: worker.clone(), rank, item, seed, state };
    let known = items.entry(item.index).or_insert_with(|| found.clone());
    if progress(found.state) > progress(known.state) {
        *known = found;
    }
}

/// How far an item has got, to compare by.
fn progress(state: RequestState) -> u8 {
    match state {
        RequestState::Done => 4,
        RequestState::Running => 3,
        RequestState::Queued => 2,
        RequestState::Failed | RequestState::Cancelled => 1,
        RequestState::Unknown => 0,
    }
}

/// Follows a request's items on behalf of a submission.
struct Follower {
    dispatcher: Dispatcher,
    mailbox: Arc<Mailbox>,
    id: RequestId,
    count: u32,
    seed: u64,
    items: BTreeMap<u32, ItemLocation>,
    limit: Duration,
}

impl Follower {
    async fn run(self) {
        let started = Instant::now();
        let mut results = Results::new(self.count);
        let all = async {
            let this = &self;
            let follow = |item| async move { (item, this.item(item, started).await) };
            let mut open: FuturesUnordered<_> = self.items.values().map(follow).collect();
            while let Some((item, result)) = open.next().await {
                results.set(item.item.index, result, &self.mailbox);
            }
        };
        let left = match tokio::time::timeout(self.limit, all).await {
            Ok(()) => {
                let message = "no worker has this item: ask for it again with the request's seed";
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

    /// Follows one item to its end.
    async fn item(&self, found: &ItemLocation, started: Instant) -> Result<ItemOutput, CallError> {
        let (item, worker, rank) = (found.item.index, &found.worker, found.rank);
        self.mailbox.push(RequestEvent::Assigned { item, worker: worker.clone(), rank });
        let args = AttachArgs { request_id: self.id.clone(), index: Some(item) };
        let args = codec::encode(&args).map_err(|error| {
            CallError::new(ErrorKind::TooLarge, "the request's id is too long").caused_by(&error)
        })?;
        let call = calls::control_call(Method::Attach.name(), args.into(), self.limit);
        let located = |error: CallError| error.at(worker, rank);
        let mut stream = self.dispatcher.executor().call(worker, &call).await.map_err(located)?;
        loop {
            match update(stream.next().await.map_err(located)?, item, worker) {
                Update::Event(event) => self.mailbox.push(event),
                Update::Reply(reply) => return output(reply, found, started).map_err(located),
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

/// An item's result, from the worker's reply.
fn output(
    reply: CallReply,
    found: &ItemLocation,
    started: Instant,
) -> Result<ItemOutput, CallError> {
    let value: AttachValue = codec::decode(&reply.outcome?).map_err(|error| {
        CallError::new(ErrorKind::Protocol, "the value is no item's").caused_by(&error)
    })?;
    let other =
        || CallError::new(ErrorKind::Protocol, "the reply is not the item's that was asked for");
    let [one] = <[_; 1]>::try_from(value.items).map_err(|_| other())?;
    match (one.generated, one.error) {
        (Some(generated), None) => {
            let place = (&found.worker, found.rank);
            item_output(generated, reply.attachments, found.item, place, started)
        }
        (None, Some(error)) => Err(error),
        (Some(_), Some(_)) | (None, None) => Err(other()),
    }
}
