//! Where workers announce themselves and coordinators find them.
//!
//! Three kinds behind one trait: `etcd` for a cluster, `dir` for one host with nothing installed,
//! `static` for a list of addresses. One conformance suite holds all three to the same behaviour.
//!
//! A registry never judges health: a record says that a worker announced itself, not that it
//! answers. Losing a registry ends nothing; announcements and views come back by themselves.

mod announcement;
mod contract;
mod dir;
mod error;
mod etcd;
mod limits;
mod lock;
mod owner;
mod record;
mod settings;
mod state;
mod static_list;
mod url;
mod view;

use std::sync::Arc;

pub use announcement::{AnnounceStatus, Announcement};
pub use contract::{RankWish, Registry};
pub use error::Error;
pub use limits::{MAX_RECORD_BYTES, MAX_WORKERS};
pub use owner::{OwnerClaim, OwnerState, OwnerWatch};
pub use settings::Settings;
pub use url::RegistryUrl;
pub use view::{Observation, View};

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
