//! One item on its way: what changes from step to step.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::Snapshot;

/// One item that a model is generating. Made by [`Generator::start`](super::Generator::start),
/// advanced by `step`, ended by `finish`; dropping it abandons the item.
///
/// Only the model that started a run can go on with it, hence [`Any`].
pub trait Run: Any + Send {
    /// What it has in common with the runs that could share its next step; `None` where it takes its
    /// steps alone.
    fn batch_key(&self) -> Option<BatchKey>;

    /// Steps taken so far.
    fn step_index(&self) -> usize;

    /// Steps in all. Some schedulers call the model more often than a request asks for.
    fn steps(&self) -> usize;

    /// Whether all steps are taken.
    fn is_done(&self) -> bool {
        self.step_index() >= self.steps()
    }

    /// What it has come to, for [`Generator::resume`](super::Generator::resume).
    fn snapshot(&self) -> Snapshot;
}

/// Equal for runs of which one call of a graph could take the next step together: those of the same
/// model and graph, with inputs of the same shapes and the same adapters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchKey {
    common: Arc<str>,
    /// Places of the batch axis that each run fills.
    rows: usize,
    /// The request whose runs alone they are, and their place in its schedule.
    request: Option<(usize, usize)>,
}

impl BatchKey {
    /// The key that says all of what the runs must have in common, whatever their step.
    pub fn new(common: impl Into<Arc<str>>) -> Self {
        Self { common: common.into(), rows: 1, request: None }
    }

    /// The same for runs that have this in common besides.
    #[must_use]
    pub fn with(&self, common: &str) -> Self {
        Self { common: format!("{} {common}", self.common).into(), ..self.clone() }
    }

    /// The same for runs that fill so many places of the batch axis each.
    #[must_use]
    pub fn rows(&self, rows: usize) -> Self {
        Self { rows, ..self.clone() }
    }

    /// The same for runs of the request of that number alone, which must be at the same place of their
    /// schedules to share a step.
    #[must_use]
    pub fn of(&self, request: usize) -> Self {
        Self { request: Some((request, 0)), ..self.clone() }
    }

    /// The same for a run at that place of its request's schedule.
    #[must_use]
    pub fn at(&self, place: usize) -> Self {
        let request = self.request.map(|(request, _)| (request, place));
        Self { request, ..self.clone() }
    }

    /// Whether runs with it must be at the same place of their schedules.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.request.is_some()
    }

    /// The same whatever the request: calls of a graph with one kind of keys take as long.
    #[must_use]
    pub fn kind(&self) -> Self {
        Self { request: None, ..self.clone() }
    }
}

impl fmt::Debug for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rows", self.common, self.rows)?;
        let Some((request, place)) = self.request else { return Ok(()) };
        write!(f, " of request {request:#x} at {place}")
    }
}
