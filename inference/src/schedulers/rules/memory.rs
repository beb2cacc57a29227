//! What a rule remembers between two calls, and room that it reuses within one.

use serde::{Deserialize, Serialize};

use crate::schedulers::error::Error;

/// No rule looks back further than the fourth order.
const MAX_HISTORY: usize = 4;

/// All that a run's rule remembers between two calls: with it, a scheduler that was built the same
/// goes on with the same numbers, bit by bit.
///
/// Plain data in a stable form, to be kept in a file or sent to another worker: an object with four
/// fields, one whole number and lists of single-precision numbers. Each list has as many numbers as
/// the sample, or none where the class has no use for it. Before the first call all are empty. What
/// else a run needs to go on is the caller's: the sample, the index of the next call, and the place
/// of the noise stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls that were taken.
    pub taken: usize,
    /// What the rule looks back on, newest first, at most four: predictions, slopes or model
    /// outputs of past calls.
    pub history: Vec<Vec<f32>>,
    /// The sample where the newest step of several calls began, or where the newest step did that
    /// the next call corrects.
    pub start: Vec<f32>,
    /// The slope that a step of several calls has come to so far.
    pub slope: Vec<f32>,
}

/// A snapshot in the making, and scratch room.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) state: Snapshot,
    pub(crate) scratch: Scratch,
}

/// Room that is filled and used within one call, so that a warm call takes no memory.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A prediction, or a sum of them.
    pub(crate) values: Vec<f32>,
    /// For dynamic thresholding.
    pub(crate) magnitudes: Vec<f32>,
}

impl Snapshot {
    /// Room for what this call adds to the history, of which `most` entries are kept.
    pub(crate) fn remember(&mut self, most: usize, length: usize) -> &mut Vec<f32> {
        if self.history.len() < most {
            self.history.insert(0, vec![0.0; length]);
        } else {
            self.history.truncate(most);
            self.history.rotate_right(1);
        }
        &mut self.history[0]
    }

    /// The newest entries of the history; those that are missing are empty.
    pub(crate) fn newest<const N: usize>(&self) -> [&[f32]; N] {
        std::array::from_fn(|back| self.history.get(back).map_or(&[][..], Vec::as_slice))
    }

    /// Marks the sample as where a step begins.
    pub(crate) fn begin(&mut self, sample: &[f32]) {
        self.start.clear();
        self.start.extend_from_slice(sample);
    }

    /// Puts the sample back to where the step began.
    pub(crate) fn rewind(&self, sample: &mut [f32]) {
        sample.iter_mut().zip(&self.start).for_each(|(x, start)| *x = *start);
    }

    /// Checks that it is one of a run of `calls` calls over samples of `length` numbers.
    pub(crate) fn check(&self, calls: usize, length: usize) -> Result<(), Error> {
        let lists = || self.history.iter().chain([&self.start, &self.slope]);
        let reason = if self.taken > calls {
            format!("it has taken {} calls, and this run has {calls}", self.taken)
        } else if self.history.len() > self.taken.min(MAX_HISTORY) {
            format!("it looks back on {} of {} calls", self.history.len(), self.taken)
        } else if self.taken == 0 && lists().any(|list| !list.is_empty()) {
            "it remembers something before the first call".to_owned()
        } else if let Some(list) = self.history.iter().find(|list| list.len() != length) {
            format!("an entry of its history has {} numbers, the sample {length}", list.len())
        } else if let Some(list) =
            lists().find(|list| !matches!(list.len(), n if n == 0 || n == length))
        {
            format!("one of its lists has {} numbers, the sample {length}", list.len())
        } else {
            return Ok(());
        };
        Err(Error::Snapshot(reason))
    }
}
