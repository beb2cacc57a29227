//! The registry for a cluster: etcd, 3.4 and newer.
//!
//! | key | value |
//! | --- | --- |
//! | `/hearth/v1/<group>/workers/<worker_id>` | the worker's record, JSON |
//! | `/hearth/v1/<group>/ranks/<rank>` | the id of the worker that has the rank |
//! | `/hearth/v1/<group>/owners/<name>` | there while the engine of that name lives |
//!
//! Both keys of a worker are put under one lease by one transaction. This file and the modules
//! below it are the only ones that know etcd's client.

mod announce;
mod claim;
mod cluster;
mod observe;
mod options;
mod owner;
mod pem;
mod session;
#[cfg(test)]
#[path = "../../../tests/support/etcd.rs"]
mod test_server;

use std::path::Path;
use std::sync::Arc;

use hearth_api::{Group, OwnerId};
use hearth_protocol::record::WorkerRecord;

use super::record;
use super::state::StateFolder;
use super::{
    Announcement, Error, Observation, OwnerClaim, OwnerWatch, RankWish, Registry, Settings,
};

use cluster::Cluster;

/// A group in an etcd cluster.
pub(super) struct Etcd(Arc<Cluster>);

impl Etcd {
    /// Reads the files that the settings name; connects nothing.
    pub(super) fn open(
        target: String,
        tls: bool,
        endpoints: &[String],
        group: Group,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let options = options::read(tls, settings)?;
        let scheme = if tls { "https" } else { "http" };
        let endpoints = endpoints.iter().map(|endpoint| format!("{scheme}://{endpoint}")).collect();
        Ok(Self(Arc::new(Cluster { target, endpoints, options, group, ttl: settings.ttl })))
    }
}

impl Registry for Etcd {
    fn target(&self) -> String {
        self.0.target.clone()
    }

    fn announce(
        &self,
        record: WorkerRecord,
        wish: RankWish,
        state_dir: &Path,
    ) -> Result<Announcement, Error> {
        if record.group != self.0.group {
            return Err(Error::Group { record: record.group, registry: self.0.group.clone() });
        }
        record::encode(&record)?;
        let folder = StateFolder::make(state_dir, &record.worker_id)?;
        let cluster = Arc::clone(&self.0);
        Ok(Announcement::spawn(record, |desk| announce::keep(cluster, folder, wish, desk)))
    }

    fn observe(&self) -> Result<Observation, Error> {
        let cluster = Arc::clone(&self.0);
        Ok(Observation::spawn(|publisher, cancel| observe::follow(cluster, publisher, cancel)))
    }

    fn own(&self, owner: &OwnerId) -> OwnerClaim {
        let cluster = Arc::clone(&self.0);
        OwnerClaim::spawn(owner, |holder| owner::keep(cluster, holder))
    }

    fn watch_owner(&self, owner: &OwnerId) -> OwnerWatch {
        let (cluster, owner) = (Arc::clone(&self.0), owner.clone());
        OwnerWatch::spawn(|state, cancel| owner::follow(cluster, owner, state, cancel))
    }
}
