//! One attempt at an item: its call on a worker, or, for as long as the item waits there, on another
//! one that would begin it sooner.
//!
//! The other worker is asked first, and takes the item only if fewer items are before it there; then
//! the call that waits is cancelled. So an item never loses its place for a worse one, each move
//! brings it nearer to its beginning, and one that has taken a step stays where it is. An item that
//! begins at once, but shares its steps with others, looks for a worker with fewer at once.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hearth_api::{CallError, ErrorKind, Incarnation, WorkerId};
use hearth_protocol::codec;
use hearth_protocol::message::{Phase, Progress};
use hearth_protocol::methods::{GenerateValue, ItemIndex};
use tokio::time::{Instant, sleep, timeout};

use super::dispatch::{Slot, Wish};
use super::job::Job;
use super::output::{ItemOutput, RequestEvent};
use super::reply::{Update, item_output, update};
use crate::executor::{CallEvent, CallReply, CallStream, OutgoingCall};

/// How often an item may move.
const MOVES: u32 = 16;

/// Between two looks at other workers, for each item that is before this one: the nearer its turn,
/// the more it gains by a worker that idles.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long another worker has to say whether it takes the item.
const ANSWER: Duration = Duration::from_secs(1);

/// One attempt.
pub(super) struct Attempt<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) item: ItemIndex,
    pub(super) call: &'a OutgoingCall,
    /// The runs of workers that were lost to the request.
    pub(super) lost: &'a [Incarnation],
    pub(super) wish: Wish<'a>,
}

/// Why an attempt has failed.
pub(super) struct Failure {
    /// The worker that had the item last.
    pub(super) worker: WorkerId,
    pub(super) error: CallError,
}

/// The item's call on a worker.
struct ItemCall {
    slot: Slot,
    stream: Box<dyn CallStream>,
    began: Instant,
    /// Items before it there, or beside it; 0 once it has taken a step, and while that is not known.
    position: u32,
}

/// What ends the stay on a worker.
enum Next {
    Reply(CallReply),
    /// Another worker has taken the item.
    Move(ItemCall),
}

impl Attempt<'_> {
    /// Makes the item.
    pub(super) async fn run(&self, slot: Slot) -> Result<ItemOutput, Failure> {
        let mut current = self.start(slot).await?;
        let mut moves = 0;
        loop {
            let next = self.follow(&mut current, moves < MOVES).await;
            match next {
                Ok(Next::Reply(reply)) => {
                    let output = self.output(reply, &current);
                    return output.map_err(|error| failure(&current.slot, error));
                }
                Ok(Next::Move(other)) => {
                    moves += 1;
                    let (from, to) = (current.slot.worker(), other.slot.worker());
                    tracing::debug!(id = %self.call.id, item = self.item.index, %from, %to, "moved");
                    current = other;
                    self.tell_place(&current);
                }
                Err(error) => return Err(failure(&current.slot, error)),
            }
        }
    }

    /// Calls the worker that the item has a slot on.
    async fn start(&self, slot: Slot) -> Result<ItemCall, Failure> {
        self.tell_worker(&slot);
        let (began, call) = (Instant::now(), self.call.clone());
        match self.send(&slot, call, began).await {
            Ok(stream) => Ok(ItemCall { slot, stream, began, position: 0 }),
            Err(error) => Err(failure(&slot, error)),
        }
    }

    async fn send(
        &self,
        slot: &Slot,
        call: OutgoingCall,
        now: Instant,
    ) -> Result<Box<dyn CallStream>, CallError> {
        let deadline = Some(self.job.deadline.saturating_duration_since(now));
        let call = OutgoingCall { deadline, ..call };
        let stream = self.job.dispatcher.executor().call(slot.worker(), &call).await?;
        let worker = slot.worker().clone();
        Ok(self.job.trial.watch(self.item.index, worker, slot.run(), stream))
    }

    /// Follows the item on its worker until it ends there, or another one takes it.
    async fn follow(&self, current: &mut ItemCall, may_move: bool) -> Result<Next, CallError> {
        let ItemCall { slot, stream, position, .. } = current;
        let known = AtomicU32::new(*position);
        let mut search = pin!(self.search(slot.worker(), &known, LOOK_EVERY));
        loop {
            let mut next = stream.next();
            let event = loop {
                tokio::select! {
                    biased;
                    event = &mut next => break event?,
                    other = &mut search, if may_move && known.load(Ordering::Relaxed) > 0 => {
                        if other.position < known.load(Ordering::Relaxed) {
                            return Ok(Next::Move(other));
                        }
                        search.set(self.search(slot.worker(), &known, LOOK_EVERY));
                    }
                }
            };
            match &event {
                CallEvent::Accepted { queue_position, sharing } => {
                    let position = (*queue_position).max(*sharing);
                    slot.note_position(position);
                    known.store(position, Ordering::Relaxed);
                    if *queue_position == 0 {
                        search.set(self.search(slot.worker(), &known, Duration::ZERO));
                    }
                }
                CallEvent::Progress(progress) if is_beginning(progress) => {}
                CallEvent::Progress(_) => known.store(0, Ordering::Relaxed),
                CallEvent::Preview(..) | CallEvent::Reply(_) => {}
            }
            match update(event, self.item.index, slot.worker()) {
                Update::Event(event) => self.job.mailbox.push(event),
                Update::Reply(reply) => return Ok(Next::Reply(reply)),
            }
        }
    }

    /// Looks now and then for a worker that would begin the item sooner, until one has taken it; for
    /// the first time after `first` for each item before this one.
    async fn search(&self, current: &WorkerId, position: &AtomicU32, first: Duration) -> ItemCall {
        let mut every = first;
        loop {
            let before = position.load(Ordering::Relaxed);
            let pause = every.saturating_mul(before.max(1)).min(LONGEST_PAUSE);
            every = LOOK_EVERY;
            sleep(pause.mul_f64(0.5 + self.job.dispatcher.jitter())).await;
            if let Some(other) = self.look(current, position.load(Ordering::Relaxed)).await {
                return other;
            }
        }
    }

    /// Offers the item, which has so many others before it, to a worker where it has fewer.
    async fn look(&self, current: &WorkerId, position: u32) -> Option<ItemCall> {
        let most = position.checked_sub(1)?;
        let slot = self.job.dispatcher.shorter_queue(self.wish, current, position).await?;
        let args = self.job.args(self.item, Some(most), self.lost).ok()?;
        let (began, call) = (Instant::now(), OutgoingCall { args, ..self.call.clone() });
        let mut stream = self.send(&slot, call, began).await.ok()?;
        match timeout(ANSWER, stream.next()).await {
            Ok(Ok(CallEvent::Accepted { queue_position, sharing })) => {
                let position = queue_position.max(sharing);
                slot.note_position(position);
                // A worker of minor 1 takes it at any position.
                (position <= most).then_some(ItemCall { slot, stream, began, position })
            }
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        }
    }

    fn tell_worker(&self, slot: &Slot) {
        let (item, worker, rank) = (self.item.index, slot.worker().clone(), slot.rank());
        self.job.mailbox.push(RequestEvent::Assigned { item, worker, rank });
    }

    fn tell_place(&self, call: &ItemCall) {
        self.tell_worker(&call.slot);
        let (item, queue_position) = (self.item.index, call.position);
        self.job.mailbox.push(RequestEvent::Accepted { item, queue_position });
    }

    /// The item in a worker's reply.
    fn output(&self, reply: CallReply, call: &ItemCall) -> Result<ItemOutput, CallError> {
        let value = reply.outcome?;
        let generated: GenerateValue = codec::decode(&value).map_err(|error| {
            CallError::new(ErrorKind::Protocol, "the value is no item's").caused_by(&error)
        })?;
        let place = (call.slot.worker(), call.slot.rank());
        item_output(generated, reply.attachments, self.item, place, call.began)
    }
}

/// Whether the item has begun and not taken a step.
fn is_beginning(progress: &Progress) -> bool {
    progress.phase == Phase::Generation && progress.step == 0
}

fn failure(slot: &Slot, error: CallError) -> Failure {
    if error.kind == ErrorKind::QueueFull {
        slot.note_full();
    }
    let worker = slot.worker().clone();
    Failure { error: error.at(&worker, slot.rank()), worker }
}
