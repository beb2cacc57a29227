//! Who runs a call, whose answer is returned, and how long it may take.

use std::time::Duration;

use hearth_api::trace::TraceParent;
use hearth_api::{Rank, WorkerId};

/// Who runs a call, whose answer is returned, and for how long it is waited for.
///
/// ```
/// use std::time::Duration;
///
/// use hearth_engine::{Rank, RpcOptions};
///
/// let all = RpcOptions::new();
/// let one = RpcOptions::new().rank(Rank(0)).timeout(Duration::from_secs(5));
/// # let _ = (all, one);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RpcOptions {
    /// How long to wait before calls that have not been answered are cancelled.
    pub timeout: Duration,
    /// Who runs it.
    pub exec: Exec,
    /// Whose answer is returned.
    pub reply: ReplyFrom,
    /// The trace that it belongs to, where it is traced.
    pub trace: Option<TraceParent>,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            exec: Exec::All,
            reply: ReplyFrom::All,
            trace: None,
        }
    }
}

impl RpcOptions {
    /// Every worker runs it and answers, within 30 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits this long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The worker of this rank alone runs it.
    #[must_use]
    pub fn rank(mut self, rank: Rank) -> Self {
        self.exec = Exec::Rank(rank);
        self
    }

    /// This worker alone runs it, whatever its rank.
    #[must_use]
    pub fn worker(mut self, worker: WorkerId) -> Self {
        self.exec = Exec::Worker(worker);
        self
    }

    /// It belongs to this trace.
    #[must_use]
    pub fn trace(mut self, trace: TraceParent) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The answer of this rank alone is returned.
    #[must_use]
    pub fn reply_rank(mut self, rank: Rank) -> Self {
        self.reply = ReplyFrom::Unique(rank);
        self
    }
}

/// Who runs a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exec {
    /// Every worker.
    All,
    /// The worker of this rank alone.
    Rank(Rank),
    /// The worker of this name alone.
    Worker(WorkerId),
}

/// Whose answer a call returns. All workers that run it are waited for in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyFrom {
    /// That of every worker that runs it.
    All,
    /// This rank's alone.
    Unique(Rank),
}
