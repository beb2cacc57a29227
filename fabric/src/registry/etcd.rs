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
mod observe;
mod owner;
mod pem;
mod session;
#[cfg(test)]
#[path = "../../tests/support/etcd.rs"]
mod test_server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use hearth_api::{Group, OwnerId, Rank, WorkerId};
use hearth_protocol::record::WorkerRecord;

use super::state::StateFolder;
use super::{
    Announcement, Error, Observation, OwnerClaim, OwnerWatch, RankWish, Registry, Settings,
};

/// A group in an etcd cluster.
pub(super) struct Etcd(Arc<Cluster>);

/// Where and how the cluster is reached.
struct Cluster {
    /// For messages, and to know the registry again.
    target: String,
    /// URLs of the members.
    endpoints: Vec<String>,
    options: ConnectOptions,
    group: Group,
    ttl: Duration,
}

impl Etcd {
    /// Reads the files that the settings name; connects nothing.
    pub(super) fn open(
        target: String,
        tls: bool,
        endpoints: &[String],
        group: Group,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let (min, max) = (Duration::from_secs(2), Duration::from_secs(3600));
        if settings.ttl.subsec_nanos() != 0 || !(min..=max).contains(&settings.ttl) {
            let problem = format!("{:?}: use whole seconds, 2 to 3600", settings.ttl);
            return Err(Error::Settings { name: "ttl", problem });
        }
        let mut options = ConnectOptions::new()
            .with_connect_timeout(call_limit(settings.ttl))
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(tls_options) = tls_options(tls, settings)? {
            options = options.with_tls(tls_options);
        }
        match (&settings.user, &settings.password) {
            (Some(user), Some(password)) => options = options.with_user(user, password),
            (None, None) => {}
            (Some(user), None) => {
                let problem = format!("user {user:?} has none: name a password file");
                return Err(Error::Settings { name: "password", problem });
            }
            (None, Some(_)) => {
                let problem = "a password is given without a user".to_owned();
                return Err(Error::Settings { name: "user", problem });
            }
        }
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
        super::encode(&record)?;
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

impl Cluster {
    fn workers(&self) -> String {
        format!("/hearth/v1/{}/workers/", self.group)
    }

    fn ranks(&self) -> String {
        format!("/hearth/v1/{}/ranks/", self.group)
    }

    fn worker(&self, id: &WorkerId) -> String {
        format!("{}{id}", self.workers())
    }

    fn rank(&self, rank: Rank) -> String {
        format!("{}{rank}", self.ranks())
    }

    fn owner(&self, owner: &OwnerId) -> String {
        format!("/hearth/v1/{}/owners/{owner}", self.group)
    }

    /// The announcement was found gone.
    fn lost(&self) -> Error {
        Error::Lost { target: self.target.clone() }
    }
}

/// How long one call may take: a frozen server must be noticed while the lease can be saved.
fn call_limit(ttl: Duration) -> Duration {
    (ttl / 3).clamp(Duration::from_millis(600), Duration::from_secs(2))
}

fn tls_options(tls: bool, settings: &Settings) -> Result<Option<TlsOptions>, Error> {
    let read = |name: &'static str, path: &PathBuf| {
        std::fs::read(path).map_err(|source| Error::File { name, path: path.clone(), source })
    };
    if !tls {
        let given =
            [("cacert", &settings.cacert), ("cert", &settings.cert), ("key", &settings.key)];
        return match given.into_iter().find(|(_, path)| path.is_some()) {
            None => Ok(None),
            Some((name, _)) => {
                let problem = "it is for etcds:// and the URL says etcd://".to_owned();
                Err(Error::Settings { name, problem })
            }
        };
    }
    let Some(cacert) = &settings.cacert else {
        let problem = "etcds:// needs the file of the authority that signed etcd's certificate";
        return Err(Error::Settings { name: "cacert", problem: problem.to_owned() });
    };
    let authorities = read("cacert", cacert)?;
    pem::certificates("cacert", cacert, &authorities)?;
    let options = TlsOptions::new().ca_certificate(Certificate::from_pem(authorities));
    match (&settings.cert, &settings.key) {
        (None, None) => Ok(Some(options)),
        (Some(cert), Some(key)) => {
            let (chain, private) = (read("cert", cert)?, read("key", key)?);
            pem::pair((cert, &chain), (key, &private))?;
            Ok(Some(options.identity(Identity::from_pem(chain, private))))
        }
        (cert, _) => {
            let name = if cert.is_some() { "key" } else { "cert" };
            let problem = "certificate and key are needed together".to_owned();
            Err(Error::Settings { name, problem })
        }
    }
}
