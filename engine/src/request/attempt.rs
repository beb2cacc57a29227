//! One attempt at an item: its call on a worker, or, for as long as the item waits there, on another
//! one that would begin it sooner.
//!
//! The other worker is asked first, and takes the item only if fewer items are before it there; then
//! the call that waits is cancelled. So an item never loses its place for a worse one, each move
//! brings it nearer to its beginning, and one that has taken a step stays where it is. An item that
//! begins at once, but shares its steps with others, looks for a worker with fewer at once: the one
//! with the most others first, so that no more move than it takes to even them out.

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

/// Until the first look of an item that shares its steps with one other; with more it is less.
const LOOK_SOON: Duration = Duration::from_millis(10);

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
    place: QueuePlace,
}

/// Where an item is on its worker.
#[derive(Debug, Clone, Copy, Default)]
struct QueuePlace {
    /// Items before it in the queue.
    queue_position: u32,
    /// Items beside which it began.
    sharing: u32,
}

impl QueuePlace {
    /// Items that it shares the worker with, before or beside it.
    fn others(self) -> u32 {
        self.queue_position.max(self.sharing)
    }

    /// Until another worker is looked for the first time.
    fn first_pause(self) -> Duration {
        match self.sharing {
            0 => LOOK_EVERY.saturating_mul(self.queue_position.max(1)),
            others => LOOK_SOON / others,
        }
    }
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
            Ok(stream) => Ok(ItemCall { slot, stream, began, place: QueuePlace::default() }),
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
        let ItemCall { slot, stream, place, .. } = current;
        // None once it has taken a step, and while that is not known.
        let others = AtomicU32::new(place.others());
        let mut search = pin!(self.search(slot.worker(), &others, place.first_pause()));
        loop {
            let mut next = stream.next();
            let event = loop {
                tokio::select! {
                    biased;
                    event = &mut next => break event?,
                    other = &mut search, if may_move && others.load(Ordering::Relaxed) > 0 => {
                        if other.place.others() < others.load(Ordering::Relaxed) {
                            return Ok(Next::Move(other));
                        }
                        search.set(self.search(slot.worker(), &others, LOOK_EVERY));
                    }
                }
            };
            match &event {
                CallEvent::Accepted { queue_position, sharing } => {
                    let place = QueuePlace { queue_position: *queue_position, sharing: *sharing };
                    slot.note_position(place.others());
                    others.store(place.others(), Ordering::Relaxed);
                    if place.sharing > 0 {
                        search.set(self.search(slot.worker(), &others, place.first_pause()));
                    }
                }
                CallEvent::Progress(progress) if is_beginning(progress) => {}
                CallEvent::Progress(_) => {
                    if others.swap(0, Ordering::Relaxed) > 0 {
                        // Withdraws what is on offer.
                        search.set(self.search(slot.worker(), &others, LOOK_EVERY));
                    }
                }
                CallEvent::Preview(..) | CallEvent::Reply(_) => {}
            }
            match update(event, self.item.index, slot.worker()) {
                Update::Event(event) => self.job.mailbox.push(event),
                Update::Reply(reply) => return Ok(Next::Reply(reply)),
            }
        }
    }

    /// Looks now and then for a worker that would begin the item sooner, until one has taken it; for
    /// the first time after `pause`.
    async fn search(&self, current: &WorkerId, others: &AtomicU32, pause: Duration) -> ItemCall {
        let mut pause = pause;
        loop {
            let pause_now = pause.min(LONGEST_PAUSE).mul_f64(0.5 + self.job.dispatcher.jitter());
            sleep(pause_now).await;
            let before = others.load(Ordering::Relaxed);
            if let Some(other) = self.look(current, before).await {
                return other;
            }
            pause = LOOK_EVERY.saturating_mul(others.load(Ordering::Relaxed).max(1));
        }
    }

    /// Offers the item, which has so many others before it, to a worker where it has fewer.
    async fn look(&self, current: &WorkerId, others: u32) -> Option<ItemCall> {
        let most = others.checked_sub(1)?;
        let slot = self.job.dispatcher.shorter_queue(self.wish, current, others).await?;
        let args = self.job.args(self.item, Some(most), self.lost).ok()?;
        let (began, call) = (Instant::now(), OutgoingCall { args, ..self.call.clone() });
        let mut stream = self.send(&slot, call, began).await.ok()?;
        match timeout(ANSWER, stream.next()).await {
            Ok(Ok(CallEvent::Accepted { queue_position, sharing })) => {
                let place = QueuePlace { queue_position, sharing };
                slot.note_position(place.others());
                // A worker of minor 1 takes it at any position.
                (place.others() <= most).then_some(ItemCall { slot, stream, began, place })
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
        let (item, queue_position) = (self.item.index, call.place.queue_position);
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
