//! Which worker gets an item: pure, so that every rule of it can be tried in a test.
//!
//! It knows no clock, no connection and no other request: what is under way is in the candidates'
//! counts. Retries and waiting are the dispatcher's.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use hearth_api::{Rank, WorkerId};
use hearth_protocol::record::{Capacity, ModelRecord};

use crate::fleet::{WorkerStatus, WorkerView};

/// A worker, as far as planning goes.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The worker.
    pub worker: &'a WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// Whether it takes requests.
    pub ready: bool,
    /// What it serves.
    pub models: &'a [ModelRecord],
    /// How much it takes on.
    pub capacity: Capacity,
    /// Items that it has from this engine.
    pub in_flight: u32,
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

impl<'a> From<&'a WorkerView> for Candidate<'a> {
    fn from(worker: &'a WorkerView) -> Self {
        Self {
            worker: &worker.id,
            rank: worker.rank,
            ready: worker.status == WorkerStatus::Ready,
            models: &worker.models,
            capacity: worker.capacity.unwrap_or(Capacity { slots: 1, queue: 0 }),
            in_flight: worker.in_flight.get(),
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

/// The least loaded ready worker that has the model; the lowest rank of several.
///
/// Workers of `avoid`, where the item failed before, come into question only if no other is ready.
///
/// # Errors
/// [`Refusal`], as [`model`].
pub fn place(
    candidates: &[Candidate<'_>],
    asked: &str,
    avoid: &[WorkerId],
) -> Result<Placement, Refusal> {
    model(candidates, Some(asked))?;
    let able = |(_, candidate): &(usize, &Candidate<'_>)| candidate.ready && candidate.has(asked);
    let (avoided, fresh): (Vec<_>, Vec<_>) = candidates
        .iter()
        .enumerate()
        .filter(able)
        .partition(|(_, candidate)| avoid.contains(candidate.worker));
    let pool = if fresh.is_empty() { avoided } else { fresh };
    let free = pool.into_iter().filter(|(_, candidate)| candidate.has_room());
    let best = free.min_by(|(_, one), (_, other)| one.compare(other));
    Ok(best.map_or(Placement::Wait, |(index, _)| Placement::On(index)))
}

impl Candidate<'_> {
    fn has(&self, model: &str) -> bool {
        self.models.iter().any(|m| m.name == model || m.aliases.iter().any(|a| a == model))
    }

    /// One item waits behind each that runs, so that no slot idles between two. The others are
    /// held back until it is seen which worker is free first.
    fn has_room(&self) -> bool {
        let Capacity { slots, queue } = self.capacity;
        self.in_flight < slots.saturating_add(queue.min(slots))
    }

    /// By load for its slots, then by rank, then by name.
    fn compare(&self, other: &Self) -> Ordering {
        let weight = |one: &Self, other: &Self| {
            u64::from(one.in_flight) * u64::from(other.capacity.slots.max(1))
        };
        let rank = |one: &Self| one.rank.map_or(u64::MAX, |rank| u64::from(rank.0));
        weight(self, other)
            .cmp(&weight(other, self))
            .then_with(|| rank(self).cmp(&rank(other)))
            .then_with(|| self.worker.cmp(other.worker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Worker {
        id: WorkerId,
        rank: u32,
        ready: bool,
        models: Vec<ModelRecord>,
        slots: u32,
        in_flight: u32,
    }

    fn worker(rank: u32, in_flight: u32) -> Worker {
        let id = WorkerId::new(format!("w{rank}")).unwrap();
        let model = ModelRecord {
            name: "emoji".to_owned(),
            aliases: vec!["demo".to_owned()],
            digest: "sha256:0".to_owned(),
        };
        Worker { id, rank, ready: true, models: vec![model], slots: 1, in_flight }
    }

    impl Worker {
        fn candidate(&self) -> Candidate<'_> {
            Candidate {
                worker: &self.id,
                rank: Some(Rank(self.rank)),
                ready: self.ready,
                models: &self.models,
                capacity: Capacity { slots: self.slots, queue: 16 },
                in_flight: self.in_flight,
            }
        }
    }

    fn candidates(workers: &[Worker]) -> Vec<Candidate<'_>> {
        workers.iter().map(Worker::candidate).collect()
    }

    fn rank_of(workers: &[Worker], avoid: &[WorkerId]) -> Option<u32> {
        match place(&candidates(workers), "emoji", avoid).unwrap() {
            Placement::On(index) => Some(workers[index].rank),
            Placement::Wait => None,
        }
    }

    #[test]
    fn six_images_spread_evenly_over_three_workers() {
        let mut workers = [worker(2, 0), worker(0, 0), worker(1, 0)];
        let mut order = Vec::new();
        for _ in 0..6 {
            let rank = rank_of(&workers, &[]).unwrap();
            workers.iter_mut().find(|w| w.rank == rank).unwrap().in_flight += 1;
            order.push(rank);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        assert_eq!(rank_of(&workers, &[]), None, "the rest waits for who is free first");
    }

    #[test]
    fn a_worker_with_more_slots_gets_more() {
        let mut workers = [worker(0, 1), worker(1, 1)];
        workers[1].slots = 4;
        assert_eq!(rank_of(&workers, &[]), Some(1));
    }

    #[test]
    fn only_ready_workers_with_the_model_count() {
        let mut workers = [worker(0, 0), worker(1, 1), worker(2, 0)];
        workers[0].ready = false;
        workers[2].models[0].name = "sd15".to_owned();
        workers[2].models[0].aliases.clear();
        assert_eq!(rank_of(&workers, &[]), Some(1));
    }

    #[test]
    fn a_worker_that_failed_is_the_last_resort() {
        let workers = [worker(0, 0), worker(1, 1)];
        let avoid = [workers[0].id.clone()];
        assert_eq!(rank_of(&workers, &avoid), Some(1));
        assert_eq!(rank_of(&workers[..1], &avoid), Some(0));
        let full = [worker(0, 0), worker(1, 2)];
        assert_eq!(rank_of(&full, &avoid), None);
    }

    #[test]
    fn a_model_is_meant_by_name_alias_or_for_want_of_another() {
        let mut workers = [worker(0, 0), worker(1, 0)];
        assert_eq!(model(&candidates(&workers), None).as_deref(), Ok("emoji"));
        assert_eq!(model(&candidates(&workers), Some("demo")).as_deref(), Ok("demo"));
        workers[1].models[0].name = "sd15".to_owned();
        let known = vec!["emoji".to_owned(), "sd15".to_owned()];
        let refusal = model(&candidates(&workers), None).unwrap_err();
        assert_eq!(refusal, Refusal::WhichModel { known });
    }

    #[test]
    fn refusals_say_what_there_is() {
        let mut workers = [worker(0, 0), worker(1, 0)];
        let refusal = model(&candidates(&workers), Some("emojy")).unwrap_err();
        assert_eq!(refusal.to_string(), "model \"emojy\" is unknown: use emoji");
        workers[0].ready = false;
        workers[1].ready = false;
        for asked in [Some("emoji"), Some("emojy"), None] {
            let refusal = model(&candidates(&workers), asked).unwrap_err();
            assert!(matches!(refusal, Refusal::NoneReady { .. }), "{refusal}");
        }
        assert!(matches!(model(&[], None), Err(Refusal::NoneReady { .. })));
    }
}
