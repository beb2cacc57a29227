//! Where workers announce themselves and coordinators find them.
//!
//! Three kinds behind one trait: `etcd` for a cluster, `dir` for one host with nothing installed,
//! `static` for a list of addresses. One conformance suite holds all three to the same behaviour.
//!
//! A registry never judges health: a record says that a worker announced itself, not that it
//! answers. Losing a registry ends nothing; announcements and views come back by themselves.

mod announcement;
mod dir;
mod error;
mod etcd;
mod lock;
mod owner;
mod state;
mod static_list;
mod url;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hearth_api::{OwnerId, Rank};
use hearth_protocol::record::WorkerRecord;

pub use announcement::{AnnounceStatus, Announcement};
pub use error::Error;
pub use owner::{OwnerClaim, OwnerState, OwnerWatch};
pub use url::RegistryUrl;
pub use view::{Observation, View};

/// Most workers that a view holds; further ones are skipped with a warning.
pub const MAX_WORKERS: usize = 10_000;
/// Longest record, bytes of JSON; longer ones are refused, and skipped where they are read.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// Which rank a worker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankWish {
    /// The one it had before if that is free, else the lowest free one.
    Auto,
    /// This one or none.
    Fixed(Rank),
}

/// A place where workers announce themselves.
pub trait Registry: Send + Sync {
    /// Short text for people, e.g. `etcd://127.0.0.1:2379/default`.
    fn target(&self) -> String;

    /// Keeps `record` announced until the announcement is withdrawn or dropped. Returns at once:
    /// the registration happens, and is repeated, in the background.
    ///
    /// The record's rank is overwritten by the one that is claimed. `state_dir` keeps, in a folder
    /// named after the worker, what a restarted worker needs to be the same one again; the folder
    /// is locked while the announcement lives.
    ///
    /// # Errors
    /// [`Error::Group`], [`Error::RecordTooLarge`] and [`Error::State`]. All else is reported in
    /// the announcement's status.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn announce(
        &self,
        record: WorkerRecord,
        wish: RankWish,
        state_dir: &Path,
    ) -> Result<Announcement, Error>;

    /// The group's workers, kept up to date in the background until the observation is dropped.
    ///
    /// # Errors
    /// What can't come right by waiting; all else is reported in the view.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn observe(&self) -> Result<Observation, Error>;

    /// Holds the name of an owner until the claim is withdrawn or dropped. Returns at once: the
    /// name is taken, and taken again, in the background. `static` can't hold names: its workers
    /// know their owner by its connection alone.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn own(&self, owner: &OwnerId) -> OwnerClaim;

    /// Whether the name of an owner is held, followed until the watch is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn watch_owner(&self, owner: &OwnerId) -> OwnerWatch;
}

/// How a registry is reached, beside its URL. `dir` and `static` use none of it.
#[derive(Clone)]
pub struct Settings {
    /// Authorities (PEM) for `etcds://`.
    pub cacert: Option<PathBuf>,
    /// Client certificate (PEM) for `etcds://`.
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// User name.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Option<String>,
    /// How long an announcement outlives its worker: whole seconds, 2 to 3600.
    pub ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cacert: None,
            cert: None,
            key: None,
            user: None,
            password: None,
            ttl: Duration::from_secs(10),
        }
    }
}

/// Leaves the password out.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cacert, cert, key, user, password, ttl } = self;
        f.debug_struct("Settings")
            .field("cacert", cacert)
            .field("cert", cert)
            .field("key", key)
            .field("user", user)
            .field("password", &password.as_ref().map(|_| "…"))
            .field("ttl", ttl)
            .finish()
    }
}

/// Opens the registry that a URL names. Nothing is connected yet.
///
/// # Errors
/// [`Error::Settings`] and [`Error::File`] name what is wrong in the settings.
pub fn open(url: &RegistryUrl, settings: &Settings) -> Result<Arc<dyn Registry>, Error> {
    Ok(match url {
        RegistryUrl::Etcd { tls, endpoints, .. } => {
            Arc::new(etcd::Etcd::open(url.to_string(), *tls, endpoints, url.group(), settings)?)
        }
        RegistryUrl::Dir(path) => Arc::new(dir::Dir::open(path)),
        RegistryUrl::Static(endpoints) => Arc::new(static_list::StaticList::open(endpoints)),
    })
}

/// The record as it is stored.
fn encode(record: &WorkerRecord) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec(record).map_err(|source| Error::Encode { source })?;
    if json.len() > MAX_RECORD_BYTES {
        return Err(Error::RecordTooLarge { bytes: json.len() });
    }
    Ok(json)
}

/// A record that was stored under `id`; the reason if it can't be used.
fn decode(id: &str, json: &[u8]) -> Result<WorkerRecord, String> {
    if json.len() > MAX_RECORD_BYTES {
        return Err(format!("{} bytes, at most {MAX_RECORD_BYTES} are read", json.len()));
    }
    let record: WorkerRecord = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    if record.worker_id.as_str() != id {
        return Err(format!("it is the record of {}", record.worker_id));
    }
    Ok(record)
}
