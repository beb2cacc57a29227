//! Since when compute has been at one piece of work, or one run of a graph: how a hang is seen.
//!
//! There is no lock: a thread that stopped while it held one would hide what it has stopped at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct Gauge {
    start: Instant,
    /// Milliseconds from the start to the beginning of the work; [`IDLE`] for none.
    since: AtomicU64,
}

const IDLE: u64 = u64::MAX;

impl Default for Gauge {
    fn default() -> Self {
        Self { start: Instant::now(), since: AtomicU64::new(IDLE) }
    }
}

impl Gauge {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(IDLE - 1)
    }

    /// Runs `work` and notes how long it takes meanwhile.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        self.since.store(self.now(), Ordering::Relaxed);
        let result = work();
        self.since.store(IDLE, Ordering::Relaxed);
        result
    }

    /// The work goes on: a graph is about to run, one of several.
    pub(super) fn goes_on(&self) {
        let busy = |since: u64| (since != IDLE).then(|| self.now());
        let _ = self.since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, busy);
    }

    /// How long compute has been at its work, or at one run of a graph in it; zero when it waits.
    pub(crate) fn busy_for(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            IDLE => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_while_it_lasts_and_each_run_of_a_graph_begins_anew() {
        let gauge = Gauge::default();
        let at_least = |time: Duration| {
            while gauge.busy_for() < time {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        gauge.goes_on();
        assert_eq!(gauge.busy_for(), Duration::ZERO);
        gauge.during(|| {
            at_least(Duration::from_millis(50));
            let before = gauge.now();
            gauge.goes_on();
            assert!(gauge.since.load(Ordering::Relaxed) >= before);
            at_least(Duration::from_millis(5));
        });
        assert_eq!(gauge.busy_for(), Duration::ZERO);
    }
}
