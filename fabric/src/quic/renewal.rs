//! TLS settings of an identity that may be replaced: built anew for the first connection after it.

use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use crate::identity::{CurrentIdentity, Identity};

/// What is built from the current identity.
pub(super) struct Renewal<T> {
    source: CurrentIdentity,
    build: fn(&Identity) -> Result<T, Error>,
    built: Mutex<(Arc<Identity>, T)>,
}

impl<T: Clone> Renewal<T> {
    pub(super) fn new(
        source: CurrentIdentity,
        build: fn(&Identity) -> Result<T, Error>,
    ) -> Result<Self, Error> {
        let identity = source.get();
        let built = build(&identity)?;
        Ok(Self { source, build, built: Mutex::new((identity, built)) })
    }

    /// That of the identity now. One that can't be used leaves the one before in place.
    pub(super) fn get(&self) -> T {
        let now = self.source.get();
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&built.0, &now) {
            let last = match (self.build)(&now) {
                Ok(fresh) => fresh,
                Err(error) => {
                    tracing::error!(%error, "the renewed certificate is of no use: the old one stays");
                    built.1.clone()
                }
            };
            *built = (now, last);
        }
        built.1.clone()
    }
}
