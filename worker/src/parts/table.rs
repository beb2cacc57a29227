//! The table's rules, without clock and lock: time comes in as an argument.

mod known;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_inference::model::PreparedRequest;
use hearth_inference::session::Interrupt;
use hearth_protocol::message::Phase;
use hearth_protocol::methods::{GenerateArgs, RequestState};
use tokio::sync::watch;

use super::{Ended, Finished, Job, PartKey, PartView, Wanted};

/// Most ended parts that are remembered.
const KEPT_PARTS: usize = 1024;
/// Most bytes of kept results.
const KEPT_BYTES: usize = 256 << 20;
/// How long a result is kept.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// How much the table takes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Parts that compute at once.
    pub(crate) slots: u32,
    /// Parts that may wait.
    pub(crate) queue: u32,
    /// How long a waiting part without a caller waits for one.
    pub(crate) orphan_grace: Duration,
}

/// How many parts there are and were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) running: u32,
    pub(crate) queued: u32,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) refused: u64,
    /// Bytes of results that are kept.
    pub(crate) kept_bytes: usize,
}

struct Entry {
    /// Tells the entries that had one key after another apart.
    ticket: u64,
    digest: String,
    args: Arc<GenerateArgs>,
    /// It goes with the part when that begins.
    prepared: Option<PreparedRequest>,
    model: String,
    view: watch::Sender<PartView>,
    interrupt: Interrupt,
    subscribers: u32,
    orphaned_at: Option<Instant>,
    accepted_at: Instant,
    deadline: Option<Instant>,
    /// Why it is being stopped.
    stopping: Option<ErrorKind>,
    ended_at: Option<Instant>,
    kept_bytes: usize,
}

impl Entry {
    fn state(&self) -> RequestState {
        self.view.borrow().state
    }
}

/// A caller's place at a part, which waits for the engine or was there already.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) view: watch::Receiver<PartView>,
    /// Which of the entries that have the part's key after one another.
    pub(super) ticket: u64,
}

pub(crate) struct Table {
    bounds: Bounds,
    entries: HashMap<PartKey, Entry>,
    /// Parts that wait, oldest first.
    queue: VecDeque<PartKey>,
    /// Parts that ended, oldest first.
    ended: VecDeque<PartKey>,
    kept_bytes: usize,
    next_ticket: u64,
    running: u32,
    draining: bool,
    asleep: bool,
    closed: bool,
    counts: Counts,
    /// How parts have ended since that was last asked: of which kind the error was, and the time from
    /// arrival to end.
    just_ended: Vec<(Option<ErrorKind>, Duration)>,
}

impl Table {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: HashMap::new(),
            queue: VecDeque::new(),
            ended: VecDeque::new(),
            kept_bytes: 0,
            next_ticket: 0,
            running: 0,
            draining: false,
            asleep: false,
            closed: false,
            counts: Counts::default(),
            just_ended: Vec::new(),
        }
    }

    pub(super) fn admit(&mut self, wanted: Wanted, now: Instant) -> Result<Admitted, CallError> {
        let digest = wanted.args.request.digest();
        let deadline = wanted.deadline.and_then(|left| now.checked_add(left));
        if let Some(entry) = self.entries.get_mut(&wanted.key) {
            let again = matches!(entry.state(), RequestState::Cancelled | RequestState::Failed);
            if !again {
                if entry.digest != digest {
                    return Err(self.refuse(id_conflict(&wanted.key)));
                }
                entry.subscribers += 1;
                entry.orphaned_at = None;
                entry.deadline = entry.deadline.zip(deadline).map(|(a, b)| a.max(b));
                return Ok(Admitted { view: entry.view.subscribe(), ticket: entry.ticket });
            }
            self.forget(&wanted.key);
        }
        if self.draining {
            let message = "the worker is draining: ask another one";
            return Err(self.refuse(CallError::new(ErrorKind::Draining, message)));
        }
        if self.asleep {
            return Err(self.refuse(crate::state::sleeping()));
        }
        // A free slot takes a part as soon as the engine looks, so it does not count as waiting.
        let free = self.bounds.slots.saturating_sub(self.running) as usize;
        if self.queue.len() >= self.bounds.queue as usize + free {
            let message = format!(
                "{} requests wait, as many as worker.queue allows: try again or ask another worker",
                self.queue.len()
            );
            return Err(self.refuse(CallError::new(ErrorKind::QueueFull, message)));
        }
        let (view, receiver) = watch::channel(PartView {
            state: RequestState::Queued,
            queue_position: self.ahead(self.queue.len()),
            phase: Phase::Queue,
            step: 0,
            steps: 0,
            preview: None,
            outcome: None,
        });
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let entry = Entry {
            ticket,
            digest,
            args: Arc::new(wanted.args),
            prepared: wanted.prepared,
            model: wanted.model,
            view,
            interrupt: Interrupt::new(),
            subscribers: 1,
            orphaned_at: None,
            accepted_at: now,
            deadline,
            stopping: None,
            ended_at: None,
            kept_bytes: 0,
        };
        self.entries.insert(wanted.key.clone(), entry);
        self.queue.push_back(wanted.key);
        Ok(Admitted { view: receiver, ticket })
    }

    /// Whether a part runs, waits or has a kept result.
    pub(super) fn holds(&self, key: &PartKey) -> bool {
        self.entries.get(key).is_some_and(|entry| {
            !matches!(entry.state(), RequestState::Cancelled | RequestState::Failed)
        })
    }

    fn refuse(&mut self, error: CallError) -> CallError {
        self.counts.refused += 1;
        error
    }

    /// Parts that are computed before the one at `position` of the queue.
    fn ahead(&self, position: usize) -> u32 {
        let before = u32::try_from(position).unwrap_or(u32::MAX);
        (self.running + before).saturating_sub(self.bounds.slots - 1)
    }

    /// The oldest waiting part that has a caller. One without a caller keeps its place.
    pub(super) fn next(&mut self) -> Option<Job> {
        let wanted = |key: &PartKey| self.entries.get(key).is_some_and(|e| e.subscribers > 0);
        let position = self.queue.iter().position(wanted)?;
        let key = self.queue.remove(position)?;
        let entry = self.entries.get_mut(&key)?;
        self.running += 1;
        entry.view.send_modify(|view| {
            view.state = RequestState::Running;
            view.queue_position = 0;
        });
        let job = Job {
            args: Arc::clone(&entry.args),
            prepared: entry.prepared.take(),
            model: entry.model.clone(),
            interrupt: entry.interrupt.clone(),
            accepted_at: entry.accepted_at,
            view: entry.view.clone(),
            key,
        };
        self.tell_positions();
        Some(job)
    }

    fn tell_positions(&self) {
        for (position, key) in self.queue.iter().enumerate() {
            if let Some(entry) = self.entries.get(key) {
                entry.view.send_modify(|view| view.queue_position = self.ahead(position));
            }
        }
    }

    /// Records how a running part ended.
    pub(super) fn finish(&mut self, key: &PartKey, outcome: Result<Finished, Ended>, now: Instant) {
        self.running = self.running.saturating_sub(1);
        let Some(entry) = self.entries.get(key) else { return };
        let outcome = outcome.map_err(|ended| match ended {
            Ended::Interrupted => stopped(entry.stopping.unwrap_or(ErrorKind::Cancelled)),
            Ended::Failed(error) => error,
        });
        self.end(key, outcome, now);
    }

    fn end(&mut self, key: &PartKey, outcome: Result<Finished, CallError>, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let state = match &outcome {
            Ok(_) => RequestState::Done,
            Err(error) if error.kind == ErrorKind::Cancelled => RequestState::Cancelled,
            Err(_) => RequestState::Failed,
        };
        match state {
            RequestState::Done => self.counts.done += 1,
            RequestState::Cancelled => self.counts.cancelled += 1,
            _ => self.counts.failed += 1,
        }
        let kind = outcome.as_ref().err().map(|error| error.kind);
        self.just_ended.push((kind, now.saturating_duration_since(entry.accepted_at)));
        entry.kept_bytes = outcome.as_ref().map_or(0, |finished| finished.bytes.len());
        entry.ended_at = Some(now);
        self.kept_bytes += entry.kept_bytes;
        entry.view.send_modify(|view| {
            view.state = state;
            view.preview = None;
            view.outcome = Some(Arc::new(outcome));
        });
        self.ended.push_back(key.clone());
        while self.ended.len() > KEPT_PARTS || self.kept_bytes > KEPT_BYTES {
            let Some(oldest) = self.ended.front().cloned() else { break };
            self.forget(&oldest);
        }
    }

    /// Forgets an ended part. Callers that still read its result hold it themselves.
    fn forget(&mut self, key: &PartKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.kept_bytes -= entry.kept_bytes;
        }
        self.ended.retain(|ended| ended != key);
    }

    /// The entry that a caller was admitted to; none once another has its key.
    fn held(&mut self, key: &PartKey, ticket: u64) -> Option<&mut Entry> {
        self.entries.get_mut(key).filter(|entry| entry.ticket == ticket)
    }

    pub(super) fn unsubscribe(&mut self, key: &PartKey, ticket: u64, now: Instant) {
        if let Some(entry) = self.held(key, ticket) {
            entry.subscribers = entry.subscribers.saturating_sub(1);
            if entry.subscribers == 0 {
                entry.orphaned_at = Some(now);
            }
        }
    }

    /// Ends a part for a caller that gives it up, unless another one waits for it too.
    pub(super) fn give_up(&mut self, key: &PartKey, ticket: u64, kind: ErrorKind, now: Instant) {
        if self.held(key, ticket).is_some_and(|entry| entry.subscribers <= 1) {
            self.cancel(key, kind, now);
        }
    }

    /// Ends a part: at once where it waits, by its interrupt where it computes.
    pub(super) fn cancel(&mut self, key: &PartKey, kind: ErrorKind, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        match entry.state() {
            RequestState::Queued => {
                self.queue.retain(|waiting| waiting != key);
                self.end(key, Err(stopped(kind)), now);
                self.tell_positions();
                true
            }
            RequestState::Running => {
                entry.stopping.get_or_insert(kind);
                entry.interrupt.interrupt();
                true
            }
            _ => false,
        }
    }

    pub(super) fn cancel_request(&mut self, request: &RequestId, now: Instant) -> u32 {
        let of_request = |key: &&PartKey| key.request == *request;
        let keys: Vec<PartKey> = self.entries.keys().filter(of_request).cloned().collect();
        let cancelled =
            keys.iter().filter(|key| self.cancel(key, ErrorKind::Cancelled, now)).count();
        u32::try_from(cancelled).unwrap_or(u32::MAX)
    }

    pub(super) fn cancel_all(&mut self, now: Instant) {
        for key in self.entries.keys().cloned().collect::<Vec<_>>() {
            self.cancel(&key, ErrorKind::Draining, now);
        }
    }

    pub(super) fn set_asleep(&mut self, asleep: bool) {
        self.asleep = asleep;
    }

    pub(super) fn take_ended(&mut self) -> Vec<(Option<ErrorKind>, Duration)> {
        std::mem::take(&mut self.just_ended)
    }

    /// Whether parts wait or compute.
    pub(crate) fn is_busy(&self) -> bool {
        self.running > 0 || !self.queue.is_empty()
    }

    /// Whether parts wait for a model or compute with it.
    pub(crate) fn uses(&self, model: &str) -> bool {
        self.entries.values().any(|entry| entry.ended_at.is_none() && entry.model == model)
    }

    pub(super) fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        let mut over = Vec::new();
        for (key, entry) in &self.entries {
            let lasted = |since: Option<Instant>, limit| {
                since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
            };
            let state = entry.state();
            if entry.ended_at.is_some() {
                if lasted(entry.ended_at, KEPT_FOR) {
                    over.push((key.clone(), None));
                }
            } else if entry.deadline.is_some_and(|deadline| now >= deadline) {
                over.push((key.clone(), Some(ErrorKind::DeadlineExceeded)));
            } else if state == RequestState::Queued
                && lasted(entry.orphaned_at, self.bounds.orphan_grace)
            {
                over.push((key.clone(), Some(ErrorKind::Abandoned)));
            }
        }
        for (key, kind) in over {
            match kind {
                Some(kind) => drop(self.cancel(&key, kind, now)),
                None => self.forget(&key),
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let queued = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        Counts { running: self.running, queued, kept_bytes: self.kept_bytes, ..self.counts }
    }
}

fn id_conflict(key: &PartKey) -> CallError {
    let message = format!(
        "request id {} is in use for another content: choose another id, or leave it out",
        key.request
    );
    CallError { param: Some("id".to_owned()), ..CallError::new(ErrorKind::IdConflict, message) }
}

fn stopped(kind: ErrorKind) -> CallError {
    let message = match kind {
        ErrorKind::DeadlineExceeded => "the deadline passed: give more time or fewer steps",
        ErrorKind::Abandoned => "the caller went away before the request ran",
        ErrorKind::Draining => "the worker ended before the request did",
        _ => "the request was cancelled",
    };
    CallError::new(kind, message)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
