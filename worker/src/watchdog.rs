//! The last resort against a hang: a thread that needs nothing of the rest of the process.
//!
//! A worker whose compute hangs says so, has its items taken elsewhere and ends by itself
//! ([`Error::Hung`](crate::Error::Hung)). Should that get stuck too, as the end of a process that
//! has a device's driver loaded may, this thread ends the process firmly.

use std::io;
use std::sync::{Arc, Weak};
use std::thread::{Builder, sleep};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use crate::compute::Gauge;
use crate::error::HUNG;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(500);

/// How long the worker may take to end by itself once it counts as hung.
const LEAVE: Duration = Duration::from_secs(10);

/// How long the end of the process may take after that, before it is killed.
const EXIT: Duration = Duration::from_secs(2);

/// Sees whether a worker's compute hangs.
#[derive(Debug)]
pub struct Watchdog {
    gauge: Weak<Gauge>,
    step_timeout: Duration,
}

impl Watchdog {
    pub(crate) fn new(gauge: &Arc<Gauge>, step_timeout: Duration) -> Self {
        Self { gauge: Arc::downgrade(gauge), step_timeout }
    }

    /// Ends this process with status 3 when its worker hangs and has not ended by itself after ten
    /// seconds; `flush` has what was logged written.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self, flush: impl Fn() + Send + 'static) -> io::Result<()> {
        let watch = move || {
            if self.outlasts(LEAVE) {
                tracing::error!("the worker hangs and has not ended by itself");
                flush();
                end_firmly();
            }
        };
        Builder::new().name("watchdog".to_owned()).spawn(watch).map(drop)
    }

    /// Waits until the worker has hung for `time`; false once it is gone.
    fn outlasts(&self, time: Duration) -> bool {
        loop {
            let Some(gauge) = self.gauge.upgrade() else { return false };
            if gauge.busy_for() > self.step_timeout.saturating_add(time) {
                return true;
            }
            drop(gauge);
            sleep(LOOK);
        }
    }
}

/// An exit runs what libraries have left for it, which may hang as well.
fn end_firmly() {
    let exit = || std::process::exit(HUNG.into());
    if Builder::new().name("exit".to_owned()).spawn(exit).is_ok() {
        sleep(EXIT);
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_is_seen_from_another_thread_and_so_is_the_end() {
        let gauge = Arc::new(Gauge::default());
        let watchdog = Watchdog::new(&gauge, Duration::from_millis(20));
        gauge.during(|| assert!(watchdog.outlasts(Duration::from_millis(20))));
        drop(gauge);
        assert!(!watchdog.outlasts(Duration::ZERO));
    }
}
