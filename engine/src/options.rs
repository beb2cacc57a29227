//! The bounds of an engine.

use std::time::Duration;

/// The bounds of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Time that a request may take when it does not say.
    pub request_timeout: Duration,
    /// Requests that are under way at once; further ones are refused as `queue_full`.
    pub queue: usize,
    /// Whether an item for which no worker has a place waits for one, as long as its request may
    /// take; otherwise it fails as `queue_full`.
    pub wait_for_place: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(600), queue: 256, wait_for_place: true }
    }
}

impl EngineOptions {
    /// Ten minutes a request, 256 requests at once, waiting where all workers are full.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request that does not say may take this long.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// So many requests are under way at once.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    /// Whether an item waits where all workers are full.
    #[must_use]
    pub fn wait_for_place(mut self, wait: bool) -> Self {
        self.wait_for_place = wait;
        self
    }
}
