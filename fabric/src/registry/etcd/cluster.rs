//! Where a cluster is reached, and the keys of a group in it.

use std::time::Duration;

use etcd_client::ConnectOptions;
use hearth_api::{Group, OwnerId, Rank, WorkerId};

use crate::registry::Error;

/// Where and how the cluster is reached.
pub(super) struct Cluster {
    /// For messages, and to know the registry again.
    pub(super) target: String,
    /// URLs of the members.
    pub(super) endpoints: Vec<String>,
    pub(super) options: ConnectOptions,
    pub(super) group: Group,
    pub(super) ttl: Duration,
}

impl Cluster {
    pub(super) fn workers(&self) -> String {
        format!("/hearth/v1/{}/workers/", self.group)
    }

    pub(super) fn ranks(&self) -> String {
        format!("/hearth/v1/{}/ranks/", self.group)
    }

    pub(super) fn worker(&self, id: &WorkerId) -> String {
        format!("{}{id}", self.workers())
    }

    pub(super) fn rank(&self, rank: Rank) -> String {
        format!("{}{rank}", self.ranks())
    }

    pub(super) fn owner(&self, owner: &OwnerId) -> String {
        format!("/hearth/v1/{}/owners/{owner}", self.group)
    }

    /// The announcement was found gone.
    pub(super) fn lost(&self) -> Error {
        Error::Lost { target: self.target.clone() }
    }
}

/// How long one call may take: a frozen server must be noticed while the lease can be saved.
pub(super) fn call_limit(ttl: Duration) -> Duration {
    (ttl / 3).clamp(Duration::from_millis(600), Duration::from_secs(2))
}
