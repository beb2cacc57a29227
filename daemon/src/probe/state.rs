//! What the probe shows.

use std::sync::Arc;

use hearth_telemetry::metrics::Registry;
use tokio::sync::watch;

/// What the probe shows.
#[derive(Debug, Clone)]
pub struct State {
    /// Whether the daemon takes requests. The last value stays when the sender is dropped.
    pub readiness: watch::Receiver<Readiness>,
    /// The metrics of the process.
    pub metrics: Arc<Registry>,
}

/// Whether the daemon takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not, for this reason.
    NotReady(String),
}
