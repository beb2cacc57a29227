//! TLS settings of an identity that may be replaced: built anew for the first connection after it.

use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use crate::identity::{CurrentIdentity, Identity};

/// What is built from the current identity.
pub(super) struct Renewal<T> {
    source: CurrentIdentity,
    build: fn(&Arc<Identity>) -> Result<T, Error>,
    built: Mutex<TlsSettings<T>>,
}

impl<T: Clone> Renewal<T> {
    pub(super) fn new(
        source: CurrentIdentity,
        build: fn(&Arc<Identity>) -> Result<T, Error>,
    ) -> Result<Self, Error> {
        let identity = source.get();
        let settings = build(&identity)?;
        let built = TlsSettings { seen: Arc::clone(&identity), of: identity, settings };
        Ok(Self { source, build, built: Mutex::new(built) })
    }

    /// That of the identity now, and the identity that it was built from. One that can't be used
    /// leaves the one before in place.
    pub(super) fn get(&self) -> (Arc<Identity>, T) {
        let now = self.source.get();
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&built.seen, &now) {
            match (self.build)(&now) {
                Ok(fresh) => (built.of, built.settings) = (Arc::clone(&now), fresh),
                Err(error) => {
                    tracing::error!(%error, "the renewed certificate is of no use: the old one stays");
                }
            }
            built.seen = now;
        }
        (Arc::clone(&built.of), built.settings.clone())
    }

    /// Where it takes identities from.
    pub(super) fn source(&self) -> &CurrentIdentity {
        &self.source
    }
}

/// Settings, and where they come from.
struct TlsSettings<T> {
    /// The newest identity that was looked at.
    seen: Arc<Identity>,
    /// The one that the settings are built from.
    of: Arc<Identity>,
    settings: T,
}
