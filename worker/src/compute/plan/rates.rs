//! How long steps take by how many items share them: from it follows how many should.
//!
//! How much a step gains by being shared depends on the model, the size of its pictures and the
//! device, so it is learnt as the worker serves: first from steps alone, then from twice as many
//! items each time, for as long as that gets more done. A measurement counts for a while; then it is
//! made again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hearth_inference::model::BatchKey;

/// What sharing must gain over steps alone: less isn't worth that each takes longer.
const GAIN: f64 = 1.05;
/// The share of the best known rate that is enough: a place for a newcomer is worth a little.
const ENOUGH: f64 = 0.95;
/// Steps alone before any is shared. The first of a size makes room for it, and is slow.
const ALONE: u32 = 2;
/// Steps of a size before it is judged.
const TRIALS: u32 = 3;
/// How much the newest step counts in the average, once the size was judged.
const NEWEST: f64 = 0.3;
/// How long a measurement counts.
const KEPT: Duration = Duration::from_secs(120);
/// Most kinds of steps that are remembered.
const KINDS: usize = 64;

/// What is known of steps, by their kind.
#[derive(Debug)]
pub(super) struct StepRates {
    kinds: BTreeMap<BatchKey, BTreeMap<usize, StepTime>>,
    /// Most items that share a step.
    most: usize,
    /// How long a shared step may take.
    longest: Duration,
}

/// Steps of one size.
#[derive(Debug, Clone, Copy)]
struct StepTime {
    seconds: f64,
    steps: u32,
    at: Instant,
}

impl StepTime {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < KEPT
    }
}

impl StepRates {
    pub(super) fn new(most: usize, longest: Duration) -> Self {
        Self { kinds: BTreeMap::new(), most, longest }
    }

    /// So many items have taken a step together. What no clock can tell is not a measurement.
    pub(super) fn note(&mut self, key: &BatchKey, items: usize, took: Duration, now: Instant) {
        if took.is_zero() {
            return;
        }
        let kind = key.kind();
        if !self.kinds.contains_key(&kind) && self.kinds.len() >= KINDS {
            self.forget_oldest();
        }
        let sizes = self.kinds.entry(kind).or_default();
        sizes.retain(|_, known| known.is_fresh(now));
        let took = took.as_secs_f64();
        let known =
            sizes.get(&items).map_or(StepTime { seconds: took, steps: 1, at: now }, |known| {
                let seconds = match known.steps < TRIALS {
                    true => known.seconds.min(took),
                    false => known.seconds + NEWEST * (took - known.seconds),
                };
                StepTime { seconds, steps: known.steps.saturating_add(1), at: now }
            });
        sizes.insert(items, known);
    }

    /// How many items should share a step: as many as get more done together, and twice as many as ever
    /// did where that isn't known yet.
    pub(super) fn best(&self, key: &BatchKey, now: Instant) -> usize {
        let sizes = self.kinds.get(&key.kind());
        let known: Vec<_> = sizes
            .into_iter()
            .flatten()
            .filter(|(size, known)| **size <= self.most && known.is_fresh(now))
            .collect();
        // All else is measured by what a step alone takes.
        let Some((_, alone)) =
            known.first().filter(|(size, own)| **size == 1 && own.steps >= ALONE)
        else {
            return 1;
        };
        let rate = |size: usize, known: &StepTime| size as f64 / known.seconds.max(1e-9);
        let highest = known.iter().map(|(size, own)| rate(**size, own)).fold(0.0, f64::max);
        let least = (ENOUGH * highest).max(GAIN / alone.seconds.max(1e-9));
        let longest = self.longest.as_secs_f64();
        let is_worth = |size: usize, own: &StepTime| {
            size == 1
                || (own.seconds <= longest && (own.steps < TRIALS || rate(size, own) >= least))
        };
        let best = known.iter().rposition(|(size, own)| is_worth(**size, own)).unwrap_or_default();
        let Some(&(&size, own)) = known.get(best) else { return 1 };
        let more = self.most.min(2 * size);
        let was_tried = known.len() > best + 1;
        let may_take = own.seconds * more as f64 / size as f64;
        if was_tried || may_take > longest { size } else { more }
    }

    fn forget_oldest(&mut self) {
        let newest = |sizes: &BTreeMap<usize, StepTime>| sizes.values().map(|own| own.at).max();
        let oldest = self.kinds.iter().min_by_key(|(_, sizes)| newest(sizes));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.kinds.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(2);

    /// Rates of at most `most`, after three steps each of so many items in so many milliseconds.
    fn rates(steps: &[(usize, u64)], most: usize, now: Instant) -> (StepRates, BatchKey) {
        let (mut rates, key) = (StepRates::new(most, LONGEST), BatchKey::new("k"));
        for &(items, ms) in steps {
            (0..TRIALS).for_each(|_| rates.note(&key, items, Duration::from_millis(ms), now));
        }
        (rates, key)
    }

    #[test]
    fn as_many_share_a_step_as_get_more_done() {
        let now = Instant::now();
        for (steps, best) in [
            (&[][..], 1),
            (&[(1, 24)], 2),
            (&[(1, 24), (2, 44)], 4),
            (&[(1, 24), (2, 44), (8, 155)], 16),
            // Not worth it beyond four; five was never tried.
            (&[(1, 24), (4, 80), (6, 140)], 4),
            (&[(1, 24), (2, 50), (3, 80)], 1),
            // A little less is worth a newcomer's place.
            (&[(1, 24), (8, 150), (9, 172)], 16),
            (&[(1, 24), (8, 150), (9, 172), (12, 260)], 9),
            // What more than the bound have done doesn't count.
            (&[(1, 24), (8, 150), (32, 150)], 16),
            // What none alone have done says nothing.
            (&[(8, 150), (16, 290)], 1),
            // No step may take longer than the bound, as far as one can see.
            (&[(1, 900)], 2),
            (&[(1, 1100)], 1),
            (&[(1, 500), (2, 900), (4, 1700)], 4),
            (&[(1, 500), (2, 900), (4, 2100)], 2),
        ] {
            let best_of = |most| {
                let (rates, key) = rates(steps, most, now);
                rates.best(&key, now)
            };
            assert_eq!(best_of(16), best, "{steps:?}");
            assert_eq!(best_of(1), 1);
        }
    }

    #[test]
    fn the_first_steps_of_a_size_do_not_condemn_it() {
        let now = Instant::now();
        let (mut rates, key) = rates(&[(1, 24), (2, 44)], 8, now);
        let mut note = |ms| rates.note(&key, 4, Duration::from_millis(ms), now);
        note(300);
        note(80);
        let four = rates.kinds[&key][&4];
        assert!((four.seconds - 0.08).abs() < 1e-9 && four.steps == 2);
        assert_eq!(rates.best(&key, now), 8);
        let (mut rates, key) = (StepRates::new(8, LONGEST), BatchKey::new("k"));
        for best in [1, 2] {
            rates.note(&key, 1, Duration::from_millis(24), now);
            assert_eq!(rates.best(&key, now), best);
        }
        // Whose steps they are doesn't change their kind, the rows that a run fills do.
        assert_eq!(rates.best(&key.of(7).at(3), now), 2);
        assert_eq!(rates.best(&key.rows(2), now), 1);
    }

    #[test]
    fn what_was_measured_is_measured_again_in_time() {
        let start = Instant::now();
        let (mut rates, key) = rates(&[(1, 10), (2, 40)], 8, start);
        assert_eq!(rates.best(&key, start), 1);
        let later = start + KEPT;
        (0..ALONE).for_each(|_| rates.note(&key, 1, Duration::from_millis(10), later));
        assert_eq!(rates.best(&key, later), 2, "two are tried again");
        for at in 0..3 * KINDS {
            let other = BatchKey::new(format!("{at}"));
            rates.note(&other, 1, Duration::from_millis(10), later);
        }
        assert_eq!(rates.kinds.len(), KINDS);
    }
}
