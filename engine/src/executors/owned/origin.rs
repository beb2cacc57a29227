//! Starting and ending a worker, whatever runs it.

use async_trait::async_trait;

/// Starts workers.
#[async_trait]
pub(in crate::executors) trait Origin: Send + Sync + 'static {
    /// Starts the worker of a rank.
    async fn start(&self, rank: u32) -> Result<Box<dyn Run>, Exit>;

    /// Ends everything that may still run, and waits for that. [`Run::stop`] was called on each
    /// worker before, and none is started afterwards.
    async fn stop(&self) {}
}

/// One run of a worker.
#[async_trait]
pub(in crate::executors) trait Run: Send {
    /// Waits until it has ended by itself. Dropping the future loses nothing.
    async fn ended(&mut self) -> Exit;

    /// Ends it, and waits until it has; or leaves it to [`Origin::stop`].
    async fn stop(self: Box<Self>);
}

/// A worker's exit status for a config that can't be used: another start must fail as well.
pub(in crate::executors) const UNUSABLE: i32 = 2;

/// How a run of a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::executors) struct Exit {
    /// `was killed by signal 9`, `ended with status 2 (…)`.
    pub(in crate::executors) reason: String,
    /// Whether another start must fail as well.
    pub(in crate::executors) lasting: bool,
}
