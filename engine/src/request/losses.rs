//! Which runs of workers were lost to which requests, as far as this engine has seen.
//!
//! A connection that is lost says little by itself: the worker may live on behind a network that
//! doesn't. So a run that is connected again is not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hearth_api::{Incarnation, RequestId, WorkerId};

use crate::fleet::FleetView;

/// Most requests that are remembered.
const REQUESTS: usize = 1000;
/// Most runs of one request.
const RUNS: usize = 16;
/// How long a request is remembered.
const MEMORY: Duration = Duration::from_secs(600);

/// A run of a worker that was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LostRun {
    pub(super) worker: WorkerId,
    pub(super) run: Incarnation,
    /// The worker itself has said so, so that its connection says nothing.
    pub(super) confessed: bool,
}

/// The runs that were lost, by request.
#[derive(Debug, Default)]
pub(crate) struct Losses(BTreeMap<RequestId, Entry>);

#[derive(Debug)]
struct Entry {
    runs: Vec<LostRun>,
    /// When the last of them was lost.
    at: Instant,
}

impl Losses {
    /// Notes that a run was lost to a request.
    pub(super) fn note(&mut self, request: &RequestId, lost: LostRun, now: Instant) {
        self.0.retain(|_, entry| now.saturating_duration_since(entry.at) < MEMORY);
        if !self.0.contains_key(request)
            && self.0.len() >= REQUESTS
            && let Some((oldest, _)) = self.0.iter().min_by_key(|(_, entry)| entry.at)
        {
            let oldest = oldest.clone();
            self.0.remove(&oldest);
        }
        let new = || Entry { runs: Vec::new(), at: now };
        let entry = self.0.entry(request.clone()).or_insert_with(new);
        entry.at = now;
        entry.runs.retain(|known| known.run != lost.run);
        if entry.runs.len() < RUNS {
            entry.runs.push(lost);
        }
    }

    /// The runs that were lost to a request, as this engine and the fleet's workers know it.
    pub(super) fn runs(
        &self,
        request: &RequestId,
        view: &FleetView,
        now: Instant,
    ) -> BTreeSet<Incarnation> {
        let entry = self.0.get(request);
        let fresh = entry.filter(|entry| now.saturating_duration_since(entry.at) < MEMORY);
        let own = fresh.map(|entry| entry.runs.as_slice()).unwrap_or_default();
        let own =
            own.iter().filter(|lost| lost.confessed || !view.is_connected(&lost.worker, lost.run));
        own.map(|lost| lost.run).chain(view.lost_to(request)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hearth_protocol::record::Suspect;

    use super::*;
    use crate::fleet::tests::connected;

    fn id(name: &str) -> RequestId {
        name.parse().unwrap()
    }

    fn run(number: u128) -> Incarnation {
        Incarnation::from_bits(number)
    }

    fn lost(worker: &str, number: u128) -> LostRun {
        LostRun { worker: worker.parse().unwrap(), run: run(number), confessed: false }
    }

    #[test]
    fn what_this_engine_and_the_workers_know_is_added_up() {
        let (mut losses, now) = (Losses::default(), Instant::now());
        let mut view = connected("w0", 7);
        losses.note(&id("r"), lost("w1", 1), now);
        losses.note(&id("r"), lost("w1", 1), now);
        losses.note(&id("s"), lost("w2", 2), now);
        assert_eq!(losses.runs(&id("r"), &view, now), BTreeSet::from([run(1)]));
        let suspects = vec![Suspect { request_id: id("r"), runs: vec![run(1), run(3)] }];
        let worker = Arc::make_mut(&mut view.workers[0]);
        worker.suspects = suspects;
        assert_eq!(losses.runs(&id("r"), &view, now), BTreeSet::from([run(1), run(3)]));
        assert_eq!(losses.runs(&id("s"), &view, now), BTreeSet::from([run(2)]));
    }

    #[test]
    fn a_run_that_is_connected_again_was_not_lost_unless_it_says_so() {
        let (mut losses, now) = (Losses::default(), Instant::now());
        losses.note(&id("r"), lost("w0", 7), now);
        assert_eq!(losses.runs(&id("r"), &FleetView::default(), now).len(), 1);
        assert!(losses.runs(&id("r"), &connected("w0", 7), now).is_empty());
        assert_eq!(losses.runs(&id("r"), &connected("w0", 8), now).len(), 1, "another run");
        losses.note(&id("r"), LostRun { confessed: true, ..lost("w0", 7) }, now);
        assert_eq!(losses.runs(&id("r"), &connected("w0", 7), now).len(), 1);
    }

    #[test]
    fn losses_are_forgotten_in_time_and_have_a_bound() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        for number in 0..2 * REQUESTS {
            let at = start + Duration::from_millis(number as u64);
            losses.note(&id(&format!("r{number}")), lost("w0", number as u128), at);
        }
        assert_eq!(losses.0.len(), REQUESTS);
        let view = FleetView::default();
        let last = id(&format!("r{}", 2 * REQUESTS - 1));
        assert_eq!(losses.runs(&last, &view, start + Duration::from_secs(60)).len(), 1);
        assert!(losses.runs(&last, &view, start + 2 * MEMORY).is_empty());
        losses.note(&id("r"), lost("w0", 1), start + 2 * MEMORY);
        assert_eq!(losses.0.len(), 1);
    }
}
