//! The table's rules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_protocol::message::{Load, Phase};
use hearth_protocol::methods::RequestState;

use super::bounds::{Bounds, Counts};
use super::item::{Item, ItemId, ItemKey, ItemSpec, Times};
use super::refusals::id_conflict;
use super::room::Room;
use super::view::{ItemView, Outcome, PreviewImage};

/// Most ended items that are remembered.
pub(super) const KEPT_ITEMS: usize = 1024;
/// Most bytes of kept results.
pub(super) const KEPT_BYTES: usize = 256 << 20;
/// How long a result is kept.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(600);

/// What others should learn, in the order in which it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The item looks different to its callers.
    View(ItemId),
    /// It has ended, so long after it came: in a result, or an error of this kind.
    End { item: ItemId, error: Option<ErrorKind>, after: Duration },
    /// The table has forgotten it.
    Removal(ItemId),
}

pub(crate) struct Items {
    bounds: Bounds,
    ids: BTreeMap<ItemKey, ItemId>,
    items: BTreeMap<ItemId, Item>,
    /// Items that wait, oldest first.
    queue: VecDeque<ItemId>,
    /// Items that have ended, oldest first.
    ended: VecDeque<ItemId>,
    kept_bytes: usize,
    next_id: u64,
    counts: Counts,
    room: Room,
    changes: Vec<Change>,
}

impl Items {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            ids: BTreeMap::new(),
            items: BTreeMap::new(),
            queue: VecDeque::new(),
            ended: VecDeque::new(),
            kept_bytes: 0,
            next_id: 0,
            counts: Counts::default(),
            room: Room::new(bounds),
            changes: Vec::new(),
        }
    }

    /// Takes an item on, attaches its caller where it is there already, or finds its kept result.
    /// A new one is taken only where `open` says so.
    pub(crate) fn admit(
        &mut self,
        spec: ItemSpec,
        open: Result<(), CallError>,
        now: Instant,
    ) -> Result<ItemId, CallError> {
        let deadline = spec.deadline.and_then(|left| now.checked_add(left));
        if let Some(&id) = self.ids.get(&spec.key) {
            if self.holds(&spec.key) {
                return self.join(id, &spec, deadline);
            }
            self.forget(id);
        }
        open.map_err(|error| self.refuse(error))?;
        self.check_room(&spec.key, spec.max_position, now)?;
        self.room.admitted(&spec.key);
        let id = ItemId(self.next_id);
        self.next_id += 1;
        self.ids.insert(spec.key.clone(), id);
        let item = Item {
            view: ItemView::queued(self.room.ahead(self.counts.running, self.queue.len())),
            spec,
            times: Times::default(),
            subscribers: 1,
            callers: BTreeSet::new(),
            orphaned_at: None,
            accepted_at: now,
            deadline,
            stopping: None,
            ended_at: None,
            kept_bytes: 0,
        };
        self.items.insert(id, item);
        self.queue.push_back(id);
        Ok(id)
    }

    fn join(
        &mut self,
        id: ItemId,
        spec: &ItemSpec,
        deadline: Option<Instant>,
    ) -> Result<ItemId, CallError> {
        if self.items.get(&id).is_some_and(|item| item.spec.digest != spec.digest) {
            return Err(self.refuse(id_conflict(&spec.key.request)));
        }
        if let Some(item) = self.items.get_mut(&id) {
            item.deadline = item.deadline.zip(deadline).map(|(a, b)| a.max(b));
        }
        self.subscribe(id);
        Ok(id)
    }

    /// Checks that there is a place for a new item, with at most `most` others before it.
    ///
    /// # Errors
    /// `queue_full`, which says when to come back.
    pub(crate) fn check_room(
        &mut self,
        key: &ItemKey,
        most: Option<u32>,
        now: Instant,
    ) -> Result<(), CallError> {
        let taken = self.counts().into();
        self.room.check(taken, key, most, now).map_err(|error| self.refuse(error))
    }

    /// How much there is to do.
    pub(crate) fn load(&self) -> Load {
        self.room.load(self.counts().into())
    }

    /// Whether an item runs, waits or has a kept result.
    pub(crate) fn holds(&self, key: &ItemKey) -> bool {
        self.ids.get(key).and_then(|id| self.items.get(id)).is_some_and(|item| {
            !matches!(item.view.state, RequestState::Cancelled | RequestState::Failed)
        })
    }

    /// Counts a request that is refused.
    pub(crate) fn refuse(&mut self, error: CallError) -> CallError {
        self.counts.refused += 1;
        error
    }

    /// Whether an item waits for a slot.
    pub(crate) fn is_waiting(&self, id: ItemId) -> bool {
        self.items.get(&id).is_some_and(|item| item.view.state == RequestState::Queued)
    }

    /// The oldest waiting item that has a caller. One without a caller keeps its place.
    pub(crate) fn first_waiting(&self) -> Option<ItemId> {
        let has_caller = |id: &&ItemId| self.items.get(id).is_some_and(|item| item.subscribers > 0);
        self.queue.iter().find(has_caller).copied()
    }

    /// A waiting item has a slot, beside so many others.
    pub(crate) fn begin(&mut self, id: ItemId, beside: usize, now: Instant) {
        self.queue.retain(|&waiting| waiting != id);
        let sharing = u32::try_from(beside).unwrap_or(u32::MAX);
        self.counts.running += 1;
        self.room.began(now);
        self.change(id, |item| {
            let waited = now.saturating_duration_since(item.accepted_at);
            item.times.queue = item.spec.preparation + waited;
            item.view.state = RequestState::Running;
            item.view.queue_position = 0;
            item.view.sharing = sharing;
        });
        self.renumber();
    }

    fn renumber(&mut self) {
        for position in 0..self.queue.len() {
            let (id, ahead) =
                (self.queue[position], self.room.ahead(self.counts.running, position));
            self.change(id, |item| item.view.queue_position = ahead);
        }
    }

    fn change(&mut self, id: ItemId, change: impl FnOnce(&mut Item)) {
        if let Some(item) = self.items.get_mut(&id) {
            change(item);
            self.changes.push(Change::View(id));
        }
    }

    /// Shows how far an item is.
    pub(crate) fn progress(&mut self, id: ItemId, phase: Phase, step: usize, steps: usize) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.change(id, |item| {
            item.view.phase = phase;
            item.view.step = count(step);
            item.view.steps = count(steps);
        });
    }

    /// Shows an unfinished picture.
    pub(crate) fn preview(&mut self, id: ItemId, preview: PreviewImage) {
        self.change(id, |item| item.view.preview = Some(preview));
    }

    /// Notes where an item's time went.
    pub(crate) fn clock(&mut self, id: ItemId, note: impl FnOnce(&mut Times)) {
        if let Some(item) = self.items.get_mut(&id) {
            note(&mut item.times);
        }
    }

    /// Ends an item that has not ended.
    pub(crate) fn end(&mut self, id: ItemId, outcome: Outcome, now: Instant) {
        let Some(item) = self.items.get_mut(&id).filter(|item| item.ended_at.is_none()) else {
            return;
        };
        let error = outcome.as_ref().err().map(|error| error.kind);
        let counts = &mut self.counts;
        let (state, count) = match error {
            None => (RequestState::Done, &mut counts.done),
            Some(ErrorKind::Cancelled) => (RequestState::Cancelled, &mut counts.cancelled),
            Some(_) => (RequestState::Failed, &mut counts.failed),
        };
        *count += 1;
        let after = now.saturating_duration_since(item.accepted_at);
        item.kept_bytes = outcome.as_ref().map_or(0, |output| output.bytes.len());
        item.ended_at = Some(now);
        self.kept_bytes += item.kept_bytes;
        let waited = std::mem::replace(&mut item.view.state, state) == RequestState::Queued;
        item.view.preview = None;
        item.view.outcome = Some(Arc::new(outcome));
        self.changes.extend([Change::View(id), Change::End { item: id, error, after }]);
        if waited {
            self.queue.retain(|&waiting| waiting != id);
            self.renumber();
        } else {
            self.counts.running = self.counts.running.saturating_sub(1);
            self.room.ended(error.is_none(), self.counts.running, now);
        }
        self.ended.push_back(id);
        while self.ended.len() > KEPT_ITEMS || self.kept_bytes > KEPT_BYTES {
            let Some(&oldest) = self.ended.front() else { break };
            self.forget(oldest);
        }
    }

    /// Forgets an ended item. Callers that still read its result hold it themselves.
    fn forget(&mut self, id: ItemId) {
        if let Some(item) = self.items.remove(&id) {
            self.kept_bytes -= item.kept_bytes;
            self.ids.remove(&item.spec.key);
            self.changes.push(Change::Removal(id));
        }
        self.ended.retain(|&ended| ended != id);
    }

    /// One caller more.
    pub(super) fn subscribe(&mut self, id: ItemId) {
        if let Some(item) = self.items.get_mut(&id) {
            item.subscribers += 1;
            item.orphaned_at = None;
        }
    }

    /// One caller less.
    pub(crate) fn unsubscribe(&mut self, id: ItemId, now: Instant) {
        if let Some(item) = self.items.get_mut(&id) {
            item.subscribers = item.subscribers.saturating_sub(1);
            if item.subscribers == 0 {
                item.orphaned_at = Some(now);
            }
        }
    }

    /// Whether a picture of the unfinished item is wanted after `step` steps, and somebody sees it.
    pub(crate) fn wants_preview(&self, id: ItemId, step: usize) -> bool {
        self.items.get(&id).is_some_and(|item| {
            let due = |every: u32| step.is_multiple_of(every as usize);
            item.subscribers > 0 && item.spec.preview_every.is_some_and(due)
        })
    }

    /// Forgets what was kept long enough. Gives what has passed its deadline or lost its caller, and
    /// must be stopped for that.
    pub(crate) fn sweep(&mut self, now: Instant) -> Vec<(ItemId, ErrorKind)> {
        let lasted = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        let (mut overdue, mut stale) = (Vec::new(), Vec::new());
        for (&id, item) in &self.items {
            if item.ended_at.is_some() {
                if lasted(item.ended_at, KEPT_FOR) {
                    stale.push(id);
                }
            } else if item.deadline.is_some_and(|deadline| now >= deadline) {
                overdue.push((id, ErrorKind::DeadlineExceeded));
            } else if item.view.state == RequestState::Queued
                && lasted(item.orphaned_at, self.bounds.orphan_grace)
            {
                overdue.push((id, ErrorKind::Abandoned));
            }
        }
        stale.into_iter().for_each(|id| self.forget(id));
        overdue
    }

    /// Items of a request, by index.
    pub(crate) fn ids_of(&self, request: &RequestId) -> impl Iterator<Item = (&ItemKey, ItemId)> {
        let start = ItemKey { request: request.clone(), index: 0 };
        let end = ItemKey { request: request.clone(), index: u32::MAX };
        self.ids.range(start..=end).map(|(key, &id)| (key, id))
    }

    /// Items that have not ended.
    pub(crate) fn unfinished(&self) -> Vec<ItemId> {
        let unfinished = self.items.iter().filter(|(_, item)| item.ended_at.is_none());
        unfinished.map(|(&id, _)| id).collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    pub(super) fn item(&self, id: ItemId) -> Option<&Item> {
        self.items.get(&id)
    }

    pub(super) fn item_mut(&mut self, id: ItemId) -> Option<&mut Item> {
        self.items.get_mut(&id)
    }

    pub(crate) fn spec(&self, id: ItemId) -> Option<&ItemSpec> {
        self.items.get(&id).map(|item| &item.spec)
    }

    pub(crate) fn view(&self, id: ItemId) -> Option<&ItemView> {
        self.items.get(&id).map(|item| &item.view)
    }

    pub(crate) fn times(&self, id: ItemId) -> Times {
        self.items.get(&id).map(|item| item.times).unwrap_or_default()
    }

    /// Whether items wait or compute.
    pub(crate) fn is_busy(&self) -> bool {
        self.counts.running > 0 || !self.queue.is_empty()
    }

    /// Whether items wait for a model or compute with it.
    pub(crate) fn uses(&self, model: &str) -> bool {
        self.items.values().any(|item| item.ended_at.is_none() && item.spec.model == model)
    }

    pub(crate) fn counts(&self) -> Counts {
        let queued = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        Counts { queued, kept_bytes: self.kept_bytes, ..self.counts }
    }

    /// What has changed since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}
