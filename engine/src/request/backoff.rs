//! When workers that had no place for an item are asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use hearth_api::WorkerId;
use tokio::time::Instant;

/// The pause after a worker's first refusal, and at most; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// After so long a worker is asked again, whatever it expected: places may be free sooner.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Most that chance adds to a pause, and at most as a share of it: those who were refused together
/// don't come back together.
const MOST_JITTER: Duration = Duration::from_secs(1);
const JITTER: f64 = 0.25;

/// The workers that have turned an item away for want of a place.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    workers: BTreeMap<WorkerId, Refusals>,
}

#[derive(Debug, Clone, Copy)]
struct Refusals {
    /// The pause after the last one, without what the worker asked for.
    pause: Duration,
    /// When it expects to have a place, where it says so.
    due: Option<Instant>,
    /// When it is asked again.
    until: Instant,
}

impl Backoff {
    /// A worker had no place at `now`, and asks to come back after `hint`. `jitter` is from 0 to 1.
    /// Says whether this is its first refusal.
    pub(super) fn refused(
        &mut self,
        worker: &WorkerId,
        hint: Option<Duration>,
        jitter: f64,
        now: Instant,
    ) -> bool {
        let before = self.workers.get(worker).map(|refusals| refusals.pause);
        let pause = before.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        let rest = pause.max(hint.unwrap_or_default().min(LONGEST_REST));
        let more = rest.mul_f64(JITTER * jitter.clamp(0.0, 1.0)).min(MOST_JITTER);
        let due = hint.map(|hint| now + hint);
        self.workers.insert(worker.clone(), Refusals { pause, due, until: now + rest + more });
        before.is_none()
    }

    /// The workers that are not asked at `now`.
    pub(super) fn resting(&self, now: Instant) -> Vec<WorkerId> {
        let resting = self.workers.iter().filter(|(_, refusals)| now < refusals.until);
        resting.map(|(worker, _)| worker.clone()).collect()
    }

    /// When the next worker may be asked again; none where none rests.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.workers.values().map(|refusals| refusals.until).filter(|&until| now < until).min()
    }

    /// Whether all of these workers have refused; if so, when the first of them expects to have a
    /// place, where all say so.
    pub(super) fn all_full<'a>(
        &self,
        mut workers: impl Iterator<Item = &'a WorkerId>,
    ) -> Option<Option<Instant>> {
        workers.try_fold(None, |first: Option<Option<Instant>>, worker| {
            let due = self.workers.get(worker)?.due;
            Some(Some(match first {
                None => due,
                Some(first) => first.zip(due).map(|(one, other)| one.min(other)),
            }))
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> WorkerId {
        name.parse().unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pauses_grow_and_keep_to_what_the_worker_asks_for() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        for hint in [None, None, Some(ms(1000)), None, None, None, None, Some(ms(9000))] {
            let first = backoff.refused(&id("w"), hint, 0.0, now);
            assert_eq!(first, pauses.is_empty());
            pauses.push(backoff.next(now).unwrap() - now);
        }
        assert_eq!(pauses, [100, 200, 1000, 800, 1600, 2000, 2000, 5000].map(ms));
        backoff.refused(&id("w"), Some(ms(2000)), 1.0, now);
        assert_eq!(backoff.next(now), Some(now + ms(2500)), "a quarter more");
        backoff.refused(&id("w"), Some(ms(5000)), 1.0, now);
        assert_eq!(backoff.next(now), Some(now + ms(6000)), "a second more at most");
        let due = now + ms(9000);
        backoff.refused(&id("w"), Some(ms(9000)), 0.0, now);
        assert_eq!(backoff.all_full([id("w")].iter()), Some(Some(due)), "what it expects counts");
    }

    #[test]
    fn a_worker_rests_until_it_is_asked_again() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert_eq!((backoff.next(now), backoff.resting(now)), (None, Vec::new()));
        backoff.refused(&id("v"), Some(ms(300)), 0.0, now);
        backoff.refused(&id("w"), None, 0.0, now);
        assert_eq!(backoff.resting(now), [id("v"), id("w")]);
        assert_eq!(backoff.next(now), Some(now + ms(100)));
        assert_eq!(backoff.resting(now + ms(100)), [id("v")]);
        assert_eq!(backoff.next(now + ms(100)), Some(now + ms(300)));
        assert_eq!(backoff.next(now + ms(300)), None);
    }

    #[test]
    fn a_fleet_is_full_where_all_its_workers_are() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let workers = [id("v"), id("w")];
        assert_eq!(backoff.all_full(workers.iter()), None);
        backoff.refused(&id("v"), Some(ms(300)), 0.0, now);
        assert_eq!(backoff.all_full(workers.iter()), None, "the other has not been asked");
        backoff.refused(&id("w"), Some(ms(200)), 0.0, now);
        assert_eq!(backoff.all_full(workers.iter()), Some(Some(now + ms(200))));
        backoff.refused(&id("w"), None, 0.0, now);
        assert_eq!(backoff.all_full(workers.iter()), Some(None), "the other does not say");
        assert_eq!(backoff.all_full([].iter()), None, "there is none");
    }
}
