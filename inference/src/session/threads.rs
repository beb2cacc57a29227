//! The threads that a session computes with.
//!
//! Each session has a pool of its own, since only there can be said for how long a thread that has
//! run out of work looks for more before it sleeps. A graph is hundreds of short operators: a
//! thread that sleeps at once has to be woken for each of them, and one that looks for long takes
//! the core from other workers of the host. A pool that is not running sleeps.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use ort::session::builder::SessionBuilder;

use super::Device;

/// Microseconds that a thread looks for more work: about as long as it takes to wake it.
const LOOK_US: &str = "20";
const LOOK_FOR: &str = "session.intra_op.spin_duration_us";

/// Threads of a graph on a GPU at most: little is left for them, and there is a pool for each graph.
const BESIDE_GPU: usize = 4;

/// How many threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Threads(usize);

impl Threads {
    /// `asked` threads, or for 0 one per core.
    pub(super) fn new(asked: usize) -> Self {
        Self(if asked == 0 { cores() } else { asked })
    }

    /// Has the session compute with these threads.
    pub(super) fn of(self, builder: SessionBuilder, device: Device) -> ort::Result<SessionBuilder> {
        // A count of 0 would tie each thread to a core, and those of all workers to the same cores.
        let count = match device {
            Device::Cpu => self.0,
            Device::Cuda(_) => self.0.min(BESIDE_GPU),
        };
        Ok(builder.with_intra_threads(count)?.with_config_entry(LOOK_FOR, LOOK_US)?)
    }
}

/// Physical cores, as far as this process may use them: affinity and quotas count.
fn cores() -> usize {
    let usable = available_parallelism().map_or(1, NonZeroUsize::get);
    num_cpus::get_physical().clamp(1, usable)
}

#[cfg(test)]
mod tests {
    use super::cores;

    #[test]
    fn there_is_a_core_to_compute_with() {
        assert!((1..=std::thread::available_parallelism().unwrap().get()).contains(&cores()));
    }
}
