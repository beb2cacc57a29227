//! How much the table takes on, and how much it has.

use std::time::Duration;

/// How much the table takes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Items that compute at once.
    pub(crate) slots: u32,
    /// Items that may wait.
    pub(crate) queue: u32,
    /// How long a waiting item without a caller waits for one.
    pub(crate) orphan_grace: Duration,
}

/// How many items there are and were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) running: u32,
    pub(crate) queued: u32,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) refused: u64,
    /// Bytes of results that are kept.
    pub(crate) kept_bytes: usize,
}
