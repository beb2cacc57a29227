//! Since when compute has been at one piece of work, or one run of a graph: how a hang is seen.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Gauge {
    since: Mutex<Option<Instant>>,
}

impl Gauge {
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` and notes how long it takes meanwhile.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        *self.since() = Some(Instant::now());
        let result = work();
        *self.since() = None;
        result
    }

    /// The work goes on: a graph is about to run, one of several.
    pub(super) fn goes_on(&self) {
        let mut since = self.since();
        *since = since.map(|_| Instant::now());
    }

    /// How long compute has been at its work, or at one run of a graph in it; zero when it waits.
    pub(crate) fn busy_for(&self) -> Duration {
        let since = *self.since();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}
