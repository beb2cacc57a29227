//! How fast items end: from it follows when the next place is free.

use std::time::{Duration, Instant};

/// How much the newest ends count in the average.
const NEWEST: f64 = 0.3;
/// Ends that follow within this share of the time before them came of shared steps.
const TOGETHER: f64 = 0.05;

/// The time from one item's end to the next one's, while there is work.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// Averaged over those before the newest, in seconds; none until there were some.
    before: Option<f64>,
    /// The last ends.
    newest: Option<Ends>,
    /// Since when the next end has been worked for; none while nothing runs.
    since: Option<Instant>,
}

/// Items that ended at the same time: as many as shared their steps.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// What was worked for them.
    seconds: f64,
    count: f64,
}

impl Ends {
    fn interval(self) -> f64 {
        self.seconds / self.count
    }
}

impl Pace {
    /// An item begins.
    pub(super) fn began(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// An item has ended, in a result or not, and so many still run.
    pub(super) fn ended(&mut self, is_result: bool, running: u32, now: Instant) {
        if let (true, Some(since)) = (is_result, self.since) {
            let seconds = now.saturating_duration_since(since).as_secs_f64();
            let together = self.newest.filter(|ends| seconds < TOGETHER * ends.seconds);
            self.newest = Some(match together {
                Some(ends) => Ends { seconds: ends.seconds + seconds, count: ends.count + 1.0 },
                None => {
                    self.before = self.average();
                    Ends { seconds, count: 1.0 }
                }
            });
        }
        self.since = (running > 0).then_some(now);
    }

    fn average(&self) -> Option<f64> {
        let newest = self.newest?.interval();
        Some(self.before.map_or(newest, |before| before + NEWEST * (newest - before)))
    }

    /// From one end to the next.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.average().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// Until so many more items have ended, rather too soon than too late: a slow one in the average
    /// does not count where the last was quicker. None where no item has shown how long that takes.
    pub(super) fn until(&self, ends: u32, now: Instant) -> Option<Duration> {
        let seconds = self.average()?.min(self.newest?.interval());
        let interval = Duration::try_from_secs_f64(seconds).ok()?;
        let gone = self.since.map(|since| now.saturating_duration_since(since));
        Some(interval.saturating_mul(ends).saturating_sub(gone.unwrap_or_default().min(interval)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn ends_are_foretold_by_those_before() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.until(1, start), None);
        pace.began(start);
        pace.began(start + SECOND);
        assert_eq!(pace.until(1, start + SECOND), None, "nothing has ended yet");
        pace.ended(true, 1, start + 2 * SECOND);
        assert_eq!(pace.interval(), Some(2 * SECOND));
        assert_eq!(pace.until(1, start + 2 * SECOND), Some(2 * SECOND));
        assert_eq!(pace.until(3, start + 3 * SECOND), Some(5 * SECOND));
        assert_eq!(pace.until(1, start + 9 * SECOND), Some(Duration::ZERO), "overdue");
    }

    #[test]
    fn a_slow_first_item_does_not_count_for_long() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.began(start);
        pace.ended(true, 1, start + 11 * SECOND);
        pace.ended(true, 1, start + 12 * SECOND);
        assert_eq!(pace.interval(), Some(8 * SECOND));
        assert_eq!(pace.until(3, start + 12 * SECOND), Some(3 * SECOND));
        pace.ended(true, 1, start + 32 * SECOND);
        assert!(pace.until(1, start + 32 * SECOND).unwrap() < 12 * SECOND, "the average again");
    }

    #[test]
    fn items_that_shared_their_steps_end_together() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.began(start);
        let end = start + 8 * SECOND;
        (0..8).for_each(|left| pace.ended(true, 7 - left, end));
        assert_eq!(pace.interval(), Some(SECOND));
        assert_eq!(pace.until(2, end), Some(2 * SECOND));
    }

    #[test]
    fn rest_and_what_was_cancelled_do_not_count() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.began(start);
        pace.ended(true, 0, start + SECOND);
        pace.began(start + 60 * SECOND);
        pace.ended(false, 1, start + 61 * SECOND);
        pace.ended(true, 0, start + 62 * SECOND);
        assert_eq!(pace.interval(), Some(SECOND));
    }
}
