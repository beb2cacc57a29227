//! Which cluster replicas are launched into.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// The launcher's name.
pub(super) const NAME: &str = "kubernetes";

/// Which cluster, how long ended Jobs stay there, and what its nodes have: `[launcher.kubernetes]` of
/// `hearth.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The kubeconfig; as kubectl finds it when none, and inside a cluster the pod's service
    /// account.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; its current one when none.
    pub context: Option<String>,
    /// How long an ended Job, with its pods and their logs, stays in the cluster.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// The labels of the nodes that have graphics cards of a type, by the type.
    pub gpu_node_selector: BTreeMap<String, BTreeMap<String, String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            keep: Duration::from_secs(24 * 60 * 60),
            gpu_node_selector: BTreeMap::new(),
        }
    }
}
