//! An item that has a slot: how far it is, and with whom it can share its steps.

use hearth_inference::model::BatchKey;

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
    Step(Option<BatchKey>),
    /// It is to be shown, before the next step.
    Preview(Option<BatchKey>),
    /// All its steps are taken.
    Finish,
    /// It has left compute, and becomes a file.
    Encoding,
}

/// Items of one lane can share a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) model: String,
    /// What its items have in common; none for one that has its slot alone.
    pub(super) shares: Option<BatchKey>,
}

impl Lane {
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        self.shares.is_some() && self == other
    }

    /// Whether its items must be at the same place of their runs to share a step.
    pub(super) fn is_in_step(&self) -> bool {
        self.shares.as_ref().is_some_and(BatchKey::is_in_step)
    }
}

/// Whether compute is at an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Computing {
    No,
    Alone,
    /// With others, for which it goes on whatever becomes of this one.
    Together,
    /// The same, but the item has ended meanwhile.
    InVain,
}

/// An item in the line.
pub(super) struct Entry {
    pub(super) lane: Lane,
    pub(super) stage: Stage,
    /// Steps taken.
    pub(super) step: usize,
    pub(super) computing: Computing,
}

impl Entry {
    /// What its next step has in common with those that can share it.
    pub(super) fn key(&self) -> Option<&BatchKey> {
        match &self.stage {
            Stage::Step(key) | Stage::Preview(key) => key.as_ref(),
            Stage::Model | Stage::Preparation | Stage::Start | Stage::Finish | Stage::Encoding => {
                None
            }
        }
    }
}
