//! Who runs a collective call, whose answer comes back, and how long it may take.

use std::time::Duration;

use hearth_api::Rank;

/// Who runs a collective call, whose answer is returned, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcOptions {
    /// How long to wait before calls that have not been answered are cancelled.
    pub timeout: Duration,
    /// Who runs it.
    pub exec: Exec,
    /// Whose answer is returned.
    pub reply: ReplyFrom,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), exec: Exec::All, reply: ReplyFrom::All }
    }
}

/// Who runs a collective call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exec {
    /// Every worker.
    All,
    /// The worker of this rank alone.
    Rank(Rank),
}

/// Whose answer a collective call returns. It waits for everyone that runs it in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyFrom {
    /// That of everyone who runs it.
    All,
    /// This rank's alone.
    Unique(Rank),
}
