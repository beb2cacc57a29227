//! Items that share steps, and the slots that they take.

use hearth_inference::model::BatchKey;

use super::entry::{Entry, Lane};

/// How many items should share steps of a key.
pub(super) type Most<'a> = &'a dyn Fn(&BatchKey) -> usize;

/// Items that share steps: those of one lane, and where they must be in step for that, those that
/// have begun, or are beginning, together.
pub(super) struct Cohort<'a> {
    pub(super) lane: &'a Lane,
    pub(super) items: Vec<&'a Entry>,
}

/// Steps that an item may have taken when another joins it that must be in step with it: those after
/// which it is known how long they take.
const LATEST_JOIN: usize = 2;

impl Cohort<'_> {
    /// Whether an item is one of them.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        self.lane.is_shared_with(&entry.lane)
            && (!self.lane.is_in_step() || self.is_beginning() == (entry.step <= LATEST_JOIN))
    }

    fn is_beginning(&self) -> bool {
        self.items.iter().all(|entry| entry.step <= LATEST_JOIN)
    }

    /// How many of them share a slot; one, until it is known how long their steps take.
    fn per_slot(&self, most: Most<'_>) -> usize {
        self.items.iter().filter_map(|entry| entry.key()).map(most).max().unwrap_or(1).max(1)
    }

    /// The slots that they take.
    pub(super) fn slots(&self, most: Most<'_>) -> usize {
        self.items.len().div_ceil(self.per_slot(most))
    }

    /// How many others an item of the lane finds in a slot that has room for it.
    pub(super) fn beside(&self, lane: &Lane, most: Most<'_>) -> Option<usize> {
        let others = self.items.len() % self.per_slot(most);
        let is_open = self.lane.is_shared_with(lane) && (!lane.is_in_step() || self.is_beginning());
        (is_open && others > 0).then_some(others)
    }
}
