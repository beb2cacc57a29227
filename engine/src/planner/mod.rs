//! Which worker gets an item: pure, so that every rule of it can be tried in a test.
//!
//! It knows no clock, no connection and no other request: what is under way is in the candidates'
//! counts, and chance is a number that it is given. Retries and waiting are the dispatcher's.
//!
//! Two workers are compared (Mitzenmacher, "The power of two choices in randomized load balancing",
//! 2001): what others have given a worker is known from its last word alone, and engines that all
//! went to the one that seemed to have least would meet there.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Instant;

use hearth_api::WorkerId;
use hearth_protocol::record::{Capacity, ModelRecord};

use crate::fleet::{WorkerStatus, WorkerView};

/// A worker, as far as planning goes.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The worker.
    pub worker: &'a WorkerId,
    /// Whether it takes requests.
    pub ready: bool,
    /// What it serves.
    pub models: &'a [ModelRecord],
    /// How much it takes on.
    pub capacity: Capacity,
    /// Items that it has from this engine.
    pub in_flight: u32,
    /// Items that it has from others, as far as that is known.
    pub backlog: u32,
}

/// What an item asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Constraints<'a> {
    /// The model, by name or alias.
    pub model: &'a str,
    /// Workers where the item failed before: they come into question only if no other is ready.
    pub avoided: &'a [WorkerId],
    /// Workers that have no place for it yet.
    pub excluded: &'a [WorkerId],
}

/// Where an item goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// To this candidate, by index.
    On(usize),
    /// Nowhere yet: those that could take it have all they should.
    Wait,
}

/// Why an item can go nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No worker has the model.
    #[error("model {asked:?} is unknown: {}", listed(known))]
    UnknownModel {
        /// The name asked for.
        asked: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The request names no model, and there are several.
    #[error("model is missing: {}", listed(known))]
    WhichModel {
        /// Those that there are.
        known: Vec<String>,
    },
    /// No worker that could take it is ready.
    #[error("no worker{} is ready", model.as_ref().map(|model| format!(" with model {model:?}")).unwrap_or_default())]
    NoneReady {
        /// The model, if the request names one.
        model: Option<String>,
    },
}

fn listed(known: &[String]) -> String {
    if known.is_empty() {
        return "the fleet serves none".to_owned();
    }
    format!("use {}", known.join(", "))
}

impl<'a> Candidate<'a> {
    /// A worker as it is known at `now`.
    #[must_use]
    pub fn new(worker: &'a WorkerView, now: Instant) -> Self {
        Self {
            worker: &worker.id,
            ready: worker.status == WorkerStatus::Ready,
            models: &worker.models,
            capacity: worker.capacity.unwrap_or(Capacity { slots: 1, queue: 0, batch: 1 }),
            in_flight: worker.in_flight.get(),
            backlog: worker.backlog.get(now).unwrap_or(0),
        }
    }
}

/// The model that a request means: the one it names, or the only one of the fleet.
///
/// # Errors
/// [`Refusal`], also where no worker that has the model is ready.
pub fn model(candidates: &[Candidate<'_>], asked: Option<&str>) -> Result<String, Refusal> {
    let known = |ready_only: bool| -> BTreeSet<&str> {
        let counted = candidates.iter().filter(|candidate| candidate.ready || !ready_only);
        counted.flat_map(|candidate| candidate.models).map(|model| model.name.as_str()).collect()
    };
    let owned = |names: BTreeSet<&str>| names.into_iter().map(ToOwned::to_owned).collect();
    let Some(asked) = asked else {
        let ready = known(true);
        return match ready.first() {
            None => Err(Refusal::NoneReady { model: None }),
            Some(only) if ready.len() == 1 => Ok((*only).to_owned()),
            Some(_) => Err(Refusal::WhichModel { known: owned(ready) }),
        };
    };
    if candidates.iter().any(|candidate| candidate.ready && candidate.has(asked)) {
        return Ok(asked.to_owned());
    }
    let somewhere = candidates.iter().any(|candidate| candidate.has(asked));
    if somewhere || !candidates.iter().any(|candidate| candidate.ready) {
        return Err(Refusal::NoneReady { model: Some(asked.to_owned()) });
    }
    Err(Refusal::UnknownModel { asked: asked.to_owned(), known: owned(known(false)) })
}

/// The worker for an item: of two, the one with less to do for its slots. The first is drawn from
/// those that this engine has given least, which it knows exactly, the second from all others; so one
/// engine's items spread evenly, and chance decides between equals.
///
/// # Errors
/// [`Refusal`], as [`model`].
pub fn place(
    candidates: &[Candidate<'_>],
    constraints: &Constraints<'_>,
    draw: u64,
) -> Result<Placement, Refusal> {
    model(candidates, Some(constraints.model))?;
    let free = free(candidates, constraints);
    let at = |index: usize| &candidates[index];
    let Some(least) = free.iter().map(|&index| at(index)).min_by(|a, b| a.compare_own(b)) else {
        return Ok(Placement::Wait);
    };
    let firsts = free.iter().copied().filter(|&index| at(index).compare_own(least).is_eq());
    let (first, draw) = choose(&firsts.collect::<Vec<_>>(), draw);
    let others = free.into_iter().filter(|&index| Some(index) != first);
    let (second, _) = choose(&others.collect::<Vec<_>>(), draw);
    let chosen = match (first, second) {
        (Some(first), Some(second)) if at(second).compare_all(at(first)).is_lt() => Some(second),
        (first, _) => first,
    };
    Ok(chosen.map_or(Placement::Wait, Placement::On))
}

/// Two workers at random, of those that could take an item; fewer where there are no two.
#[must_use]
pub fn two_choices(
    candidates: &[Candidate<'_>],
    constraints: &Constraints<'_>,
    draw: u64,
) -> Vec<usize> {
    let mut free = free(candidates, constraints);
    let (first, draw) = choose(&free, draw);
    free.retain(|&index| Some(index) != first);
    let (second, _) = choose(&free, draw);
    first.into_iter().chain(second).collect()
}

/// The workers that an item may go to at once, by index.
fn free(candidates: &[Candidate<'_>], constraints: &Constraints<'_>) -> Vec<usize> {
    let able = |&index: &usize| {
        let candidate = &candidates[index];
        candidate.ready && candidate.has(constraints.model)
    };
    let is_avoided = |&index: &usize| constraints.avoided.contains(candidates[index].worker);
    let (avoided, fresh): (Vec<_>, Vec<_>) =
        (0..candidates.len()).filter(able).partition(is_avoided);
    let mut pool = if fresh.is_empty() { avoided } else { fresh };
    pool.retain(|&index| {
        let candidate = &candidates[index];
        candidate.has_room() && !constraints.excluded.contains(candidate.worker)
    });
    pool
}

/// One of them, and what is left of the draw.
fn choose(of: &[usize], draw: u64) -> (Option<usize>, u64) {
    let count = of.len().max(1) as u64;
    // The remainder is below the length.
    let at = usize::try_from(draw % count).unwrap_or(0);
    (of.get(at).copied(), draw / count)
}

impl Candidate<'_> {
    fn has(&self, model: &str) -> bool {
        self.models.iter().any(|m| m.name == model || m.aliases.iter().any(|a| a == model))
    }

    /// One item waits behind each slot, so that none idles between two. The others are held back until
    /// it is seen which worker is free first. No more are sent than the worker takes where none of them
    /// can share a slot.
    fn has_room(&self) -> bool {
        let Capacity { slots, queue, .. } = self.capacity;
        let most = self.capacity.places().saturating_add(queue.min(slots));
        self.in_flight < most.min(slots.saturating_add(queue))
    }

    /// By this engine's items for its slots.
    fn compare_own(&self, other: &Self) -> Ordering {
        self.compare(other, |one| one.in_flight)
    }

    /// By all its items for its slots.
    fn compare_all(&self, other: &Self) -> Ordering {
        self.compare(other, |one| one.in_flight.saturating_add(one.backlog))
    }

    fn compare(&self, other: &Self, items: impl Fn(&Self) -> u32) -> Ordering {
        let weight = |one: &Self, other: &Self| {
            u64::from(items(one)) * u64::from(other.capacity.slots.max(1))
        };
        weight(self, other).cmp(&weight(other, self))
    }
}

#[cfg(test)]
mod tests;
