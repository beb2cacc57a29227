//! A run put aside between two steps.

use std::collections::BTreeMap;

use hearth_media::Tensor;

/// What a run has come to: with it and with the same request, prepared again, a model goes on with
/// the same numbers, bit by bit; on another worker and later as well.
///
/// Plain data, to be kept in a file or sent. What can be had again from request and seed, such as
/// encoded prompts, isn't in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The run's seed.
    pub seed: u64,
    /// Steps taken.
    pub step_index: usize,
    /// What the steps have made so far, by names of the model's own.
    pub tensors: BTreeMap<String, Tensor>,
}
