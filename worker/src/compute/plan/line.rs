//! The items that have a slot: how far each is, and whose turn it is.
//!
//! Each takes one step in turn, so that they share compute fairly and each can be stopped between
//! two steps. Runs of one model with the same batch key take a step together; items that are expected
//! to do so share a slot.

use std::collections::{BTreeMap, VecDeque};

use hearth_inference::model::BatchKey;

use super::cohort::{Cohort, Most};
use super::command::{ItemWork, StepGroup};
use super::entry::{Computing, Entry, Lane, Stage};
use crate::items::ItemId;

/// Where an item comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before all others but those that came in like this.
    First,
    /// After all others.
    Last,
}

#[derive(Default)]
pub(super) struct Line {
    entries: BTreeMap<ItemId, Entry>,
    /// Items that compute can go on with, by turn.
    turns: VecDeque<ItemId>,
    /// Ended items whose runs compute still has.
    discards: VecDeque<ItemId>,
    /// Items that were given to the encoder and have not come back.
    encoding: usize,
}

impl Line {
    /// How many others share the slot that one more item of the lane would have, none where it would
    /// have a slot of its own; `None` where there is no room. What becomes a file takes none.
    pub(super) fn room_for(&self, lane: &Lane, slots: usize, most: Most<'_>) -> Option<usize> {
        let cohorts = self.cohorts();
        let beside = cohorts.iter().find_map(|cohort| cohort.beside(lane, most));
        let taken = || cohorts.iter().map(|cohort| cohort.slots(most)).sum::<usize>();
        beside.or_else(|| (taken() < slots).then_some(0))
    }

    fn cohorts(&self) -> Vec<Cohort<'_>> {
        let mut cohorts: Vec<Cohort<'_>> = Vec::new();
        for entry in self.entries.values().filter(|entry| entry.stage != Stage::Encoding) {
            match cohorts.iter_mut().find(|cohort| cohort.has(entry)) {
                Some(cohort) => cohort.items.push(entry),
                None => cohorts.push(Cohort { lane: &entry.lane, items: vec![entry] }),
            }
        }
        cohorts
    }

    /// Has an item wait for what compute doesn't do.
    pub(super) fn wait(&mut self, id: ItemId, lane: Lane, stage: Stage) {
        self.entries.insert(id, Entry { lane, stage, step: 0, computing: Computing::No });
    }

    /// An item has taken so many steps.
    pub(super) fn reached(&mut self, id: ItemId, step: usize) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.step = step;
        }
    }

    /// Puts an item among those that compute can go on with.
    pub(super) fn ready(&mut self, id: ItemId, stage: Stage, turn: Turn) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        (entry.stage, entry.computing) = (stage, Computing::No);
        match turn {
            Turn::First => {
                let at = self.turns.iter().position(|other| !self.is_urgent(*other));
                self.turns.insert(at.unwrap_or(self.turns.len()), id);
            }
            Turn::Last => self.turns.push_back(id),
        }
    }

    fn is_urgent(&self, id: ItemId) -> bool {
        let stage = self.entries.get(&id).map(|entry| &entry.stage);
        matches!(stage, Some(Stage::Finish | Stage::Preview(_)))
    }

    /// An item leaves compute for the encoder.
    pub(super) fn encode(&mut self, id: ItemId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.stage, entry.computing) = (Stage::Encoding, Computing::No);
            self.encoding += 1;
        }
    }

    /// The encoder is done with an item, which may have ended meanwhile.
    pub(super) fn encoded(&mut self) {
        self.encoding = self.encoding.saturating_sub(1);
    }

    pub(super) fn stage(&self, id: ItemId) -> Option<&Stage> {
        self.entries.get(&id).map(|entry| &entry.stage)
    }

    /// What an item's step has in common with those that can share it; none for one that is alone.
    pub(super) fn key(&self, id: ItemId) -> Option<&BatchKey> {
        self.entries.get(&id).filter(|entry| entry.lane.shares.is_some())?.key()
    }

    pub(super) fn is_computing(&self, id: ItemId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.computing != Computing::No)
    }

    /// An item that compute is at ends, if others are computed with it: they go on. Its run is dropped
    /// when compute is back.
    pub(super) fn abandon(&mut self, id: ItemId) -> bool {
        let entry = self.entries.get_mut(&id);
        let Some(entry) = entry.filter(|entry| entry.computing == Computing::Together) else {
            return false;
        };
        entry.computing = Computing::InVain;
        true
    }

    /// Whether an item has ended while compute was at it.
    pub(super) fn is_abandoned(&self, id: ItemId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.computing == Computing::InVain)
    }

    /// Items that wait for a model.
    pub(super) fn waiting_for(&self, model: &str) -> Vec<ItemId> {
        let waits = |entry: &Entry| entry.stage == Stage::Model && entry.lane.model == model;
        self.entries.iter().filter(|(_, entry)| waits(entry)).map(|(&id, _)| id).collect()
    }

    /// Takes out an item that has ended, and has its run dropped where compute has one.
    pub(super) fn remove(&mut self, id: ItemId) {
        self.turns.retain(|&other| other != id);
        match self.entries.remove(&id).map(|entry| entry.stage) {
            Some(Stage::Step(_) | Stage::Preview(_) | Stage::Finish) => self.discards.push_back(id),
            Some(Stage::Model | Stage::Preparation | Stage::Start | Stage::Encoding) | None => {}
        }
    }

    /// Takes out an item whose run is gone: it failed, or never began.
    pub(super) fn remove_run(&mut self, id: ItemId) {
        self.entries.remove(&id);
    }

    /// An ended item's run that is to be dropped.
    pub(super) fn discard(&mut self) -> Option<ItemId> {
        self.discards.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.discards.is_empty()
    }

    /// What compute does next: the first item's, together with those that can share its step. No
    /// item is finished while the encoder has `backlog` others to do.
    pub(super) fn next(&mut self, backlog: usize, most: Most<'_>) -> Option<ItemWork> {
        let full = self.encoding >= backlog;
        let entries = &self.entries;
        let position = self.turns.iter().position(|id| {
            entries.get(id).is_some_and(|entry| !(full && entry.stage == Stage::Finish))
        })?;
        let id = self.turns.remove(self.last_of_its_cohort(position))?;
        let entry = self.entries.get_mut(&id)?;
        entry.computing = Computing::Alone;
        Some(match entry.stage.clone() {
            Stage::Preview(_) => ItemWork::Preview(id),
            Stage::Finish => ItemWork::Finish(id),
            Stage::Step(key) => {
                let lane = entry.lane.clone();
                let key = key.filter(|_| lane.shares.is_some());
                let size = key.as_ref().map_or(1, most);
                ItemWork::Step(self.group(id, &lane.model, key, size))
            }
            Stage::Start | Stage::Model | Stage::Preparation | Stage::Encoding => {
                ItemWork::Start(id)
            }
        })
    }

    /// Where items must be in step, the turn is that of the one that is behind the others.
    fn last_of_its_cohort(&self, position: usize) -> usize {
        let entry = |position: usize| self.turns.get(position).and_then(|id| self.entries.get(id));
        let Some(first) = entry(position) else { return position };
        if !first.lane.is_in_step() || !matches!(first.stage, Stage::Step(_)) {
            return position;
        }
        let cohort = Cohort { lane: &first.lane, items: vec![first] };
        let others = (position..self.turns.len()).filter_map(|at| Some((at, entry(at)?)));
        let behind = others
            .filter(|(_, other)| matches!(other.stage, Stage::Start | Stage::Step(_)))
            .filter(|(_, other)| cohort.has(other))
            .min_by_key(|(_, other)| (other.step, other.stage != Stage::Start));
        behind.map_or(position, |(at, _)| at)
    }

    /// The first item, with others that can share its step: `size` of them. They keep their order from
    /// step to step, so that what is in the graph's memory stays in its place.
    fn group(
        &mut self,
        first: ItemId,
        model: &str,
        key: Option<BatchKey>,
        size: usize,
    ) -> StepGroup {
        let mut group = vec![first];
        let entries = &mut self.entries;
        let is_common = |entry: &Entry| match &entry.stage {
            Stage::Step(Some(other)) => {
                entry.lane.shares.is_some()
                    && entry.lane.model == model
                    && Some(other) == key.as_ref()
            }
            _ => false,
        };
        self.turns.retain(|id| {
            let Some(entry) = entries.get_mut(id) else { return false };
            let joins = group.len() < size && is_common(entry);
            if joins {
                group.push(*id);
            }
            !joins
        });
        if group.len() > 1 {
            for id in &group {
                if let Some(entry) = entries.get_mut(id) {
                    entry.computing = Computing::Together;
                }
            }
            group.sort_unstable();
        }
        StepGroup(group)
    }
}
