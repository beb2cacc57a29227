//! Which cluster replicas are launched into.

use std::path::PathBuf;
use std::time::Duration;

/// The launcher's name.
pub(super) const NAME: &str = "kubernetes";

/// Which cluster, and how long ended Jobs stay there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The kubeconfig; as kubectl finds it when none, and inside a cluster the pod's service
    /// account.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; its current one when none.
    pub context: Option<String>,
    /// How long an ended Job, with its pods and their logs, stays in the cluster.
    pub keep: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { kubeconfig: None, context: None, keep: Duration::from_secs(24 * 60 * 60) }
    }
}
