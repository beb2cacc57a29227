//! The items that have a slot: how far each is, and whose turn it is.
//!
//! Each takes one step in turn, so that they share compute fairly and each can be stopped between
//! two steps. Runs of one model with the same batch key can take a step together.

use std::collections::{BTreeMap, VecDeque};

use hearth_inference::model::BatchKey;

use super::command::{ItemWork, StepGroup};
use crate::items::ItemId;

/// How far an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its model is being loaded.
    Model,
    /// Its request is being prepared.
    Preparation,
    /// It is to be started.
    Start,
    /// It is to take a step.
    Step(BatchKey),
    /// It is to be shown, before the next step.
    Preview(BatchKey),
    /// All its steps are taken.
    Finish,
    /// It has left compute, and becomes a file.
    Encoding,
}

struct Entry {
    model: String,
    stage: Stage,
    /// It is what compute is at.
    computing: bool,
}

/// Where an item comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before all others.
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
    /// Slots that are taken. What becomes a file takes none.
    pub(super) fn taken(&self) -> usize {
        self.entries.values().filter(|entry| entry.stage != Stage::Encoding).count()
    }

    /// Has an item wait for what compute doesn't do.
    pub(super) fn wait(&mut self, id: ItemId, model: &str, stage: Stage) {
        self.entries.insert(id, Entry { model: model.to_owned(), stage, computing: false });
    }

    /// Puts an item among those that compute can go on with.
    pub(super) fn ready(&mut self, id: ItemId, stage: Stage, turn: Turn) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        (entry.stage, entry.computing) = (stage, false);
        match turn {
            Turn::First => self.turns.push_front(id),
            Turn::Last => self.turns.push_back(id),
        }
    }

    /// An item leaves compute for the encoder.
    pub(super) fn encode(&mut self, id: ItemId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.stage, entry.computing) = (Stage::Encoding, false);
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

    pub(super) fn is_computing(&self, id: ItemId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.computing)
    }

    /// Items that wait for a model.
    pub(super) fn waiting_for(&self, model: &str) -> Vec<ItemId> {
        let waits = |entry: &Entry| entry.stage == Stage::Model && entry.model == model;
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
    pub(super) fn next(&mut self, max_batch: usize, backlog: usize) -> Option<ItemWork> {
        let full = self.encoding >= backlog;
        let entries = &self.entries;
        let position = self.turns.iter().position(|id| {
            entries.get(id).is_some_and(|entry| !(full && entry.stage == Stage::Finish))
        })?;
        let id = self.turns.remove(position)?;
        let entry = self.entries.get_mut(&id)?;
        entry.computing = true;
        Some(match entry.stage.clone() {
            Stage::Preview(_) => ItemWork::Preview(id),
            Stage::Finish => ItemWork::Finish(id),
            Stage::Step(key) => {
                let model = entry.model.clone();
                ItemWork::Step(self.group(id, &model, &key, max_batch))
            }
            Stage::Start | Stage::Model | Stage::Preparation | Stage::Encoding => {
                ItemWork::Start(id)
            }
        })
    }

    fn group(&mut self, first: ItemId, model: &str, key: &BatchKey, max: usize) -> StepGroup {
        let mut group = vec![first];
        let entries = &mut self.entries;
        self.turns.retain(|id| {
            let Some(entry) = entries.get_mut(id) else { return false };
            let fits =
                entry.model == model && matches!(&entry.stage, Stage::Step(other) if other == key);
            let joins = fits && group.len() < max;
            if joins {
                entry.computing = true;
                group.push(*id);
            }
            !joins
        });
        StepGroup(group)
    }
}
