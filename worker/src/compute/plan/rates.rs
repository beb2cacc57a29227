//! How long steps take by how many items share them: from it follows how many should.
//!
//! How much a step gains by being shared depends on the model, the size of its pictures and the
//! device, so it is learnt as the worker serves. A measurement counts for a while; then it is made
//! again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hearth_inference::model::BatchKey;

/// What sharing must gain over steps alone: less isn't worth that each takes longer.
const GAIN: f64 = 1.05;
/// The share of the best known rate that is enough: a place for a newcomer is worth a little.
const ENOUGH: f64 = 0.95;
/// How much the newest step counts in the average.
const NEWEST: f64 = 0.3;
/// How long a measurement counts.
const KEPT: Duration = Duration::from_secs(120);
/// Most kinds of steps that are remembered.
const KINDS: usize = 64;

/// What is known of steps, by what the items have in common.
#[derive(Debug, Default)]
pub(super) struct StepRates {
    kinds: BTreeMap<BatchKey, BTreeMap<usize, Average>>,
}

#[derive(Debug, Clone, Copy)]
struct Average {
    seconds: f64,
    at: Instant,
}

impl StepRates {
    /// So many items have taken a step together.
    pub(super) fn note(&mut self, key: &BatchKey, items: usize, took: Duration, now: Instant) {
        if !self.kinds.contains_key(key) && self.kinds.len() >= KINDS {
            self.forget_oldest();
        }
        let sizes = self.kinds.entry(key.clone()).or_default();
        sizes.retain(|_, known| is_fresh(*known, now));
        let seconds = took.as_secs_f64();
        let known = sizes.entry(items).or_insert(Average { seconds, at: now });
        *known = Average { seconds: known.seconds + NEWEST * (seconds - known.seconds), at: now };
    }

    /// How many items should share a step, at most `most`: as many as get more done together, as far
    /// as that was seen.
    pub(super) fn best(&self, key: &BatchKey, most: usize, now: Instant) -> usize {
        let Some(sizes) = self.kinds.get(key) else { return most };
        let known = sizes.iter().filter(|(size, known)| **size <= most && is_fresh(**known, now));
        let rate = |size: usize, known: &Average| size as f64 / known.seconds.max(1e-9);
        let rates: Vec<_> = known.map(|(&size, known)| (size, rate(size, known))).collect();
        let highest = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        let alone = rates.first().filter(|(size, _)| *size == 1).map_or(0.0, |(_, rate)| *rate);
        let is_worth = |(size, rate): &(usize, f64)| {
            *size == 1 || (*rate >= ENOUGH * highest && *rate >= GAIN * alone)
        };
        match rates.last() {
            Some(last) if !is_worth(last) => {
                rates.iter().rev().find(|known| is_worth(known)).map_or(1, |(size, _)| *size)
            }
            // More were never tried.
            Some(_) | None => most,
        }
    }

    fn forget_oldest(&mut self) {
        let newest = |sizes: &BTreeMap<usize, Average>| sizes.values().map(|known| known.at).max();
        let oldest = self.kinds.iter().min_by_key(|(_, sizes)| newest(sizes));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.kinds.remove(&key);
        }
    }
}

fn is_fresh(known: Average, now: Instant) -> bool {
    now.saturating_duration_since(known.at) < KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates after steps of so many items in so many milliseconds.
    fn rates(steps: &[(usize, u64)], now: Instant) -> (StepRates, BatchKey) {
        let (mut rates, key) = (StepRates::default(), BatchKey::new("k"));
        for &(items, ms) in steps {
            rates.note(&key, items, Duration::from_millis(ms), now);
        }
        (rates, key)
    }

    #[test]
    fn as_many_share_a_step_as_get_more_done() {
        let now = Instant::now();
        for (steps, best) in [
            (&[][..], 16),
            (&[(1, 24)], 16),
            (&[(1, 24), (2, 44), (8, 155)], 16),
            // Not worth it beyond four; five was never tried.
            (&[(1, 24), (4, 80), (6, 140)], 4),
            (&[(1, 24), (2, 50), (3, 80)], 1),
            // A little less is worth a newcomer's place.
            (&[(8, 150), (9, 172)], 16),
            (&[(8, 150), (9, 172), (12, 260)], 9),
            // What more than the bound have done doesn't count.
            (&[(8, 150), (32, 150)], 16),
        ] {
            let (rates, key) = rates(steps, now);
            assert_eq!(rates.best(&key, 16, now), best, "{steps:?}");
        }
    }

    #[test]
    fn what_was_measured_is_measured_again_in_time() {
        let start = Instant::now();
        let (mut rates, key) = rates(&[(1, 10), (2, 40)], start);
        assert_eq!(rates.best(&key, 8, start), 1);
        assert_eq!(rates.best(&key, 8, start + KEPT), 8);
        for at in 0..3 * KINDS {
            let other = BatchKey::new(format!("{at}"));
            rates.note(&other, 1, Duration::from_millis(10), start + KEPT);
        }
        assert_eq!(rates.kinds.len(), KINDS);
    }
}
