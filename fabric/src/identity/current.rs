//! The identity that a running process bears: replaced when its files were renewed.
//!
//! New connections take the new one up. Those that are there keep what they were made with, for as
//! long as that counts (`quic/lapse.rs`).

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Error, Identity};

/// An identity that may be replaced while it is in use. Clones share it.
#[derive(Debug, Clone)]
pub struct CurrentIdentity(watch::Sender<Arc<Identity>>);

impl CurrentIdentity {
    /// The identity now.
    #[must_use]
    pub fn get(&self) -> Arc<Identity> {
        Arc::clone(&self.0.borrow())
    }

    /// Sees each replacement.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Identity>> {
        self.0.subscribe()
    }

    /// Reads the folder again and takes up what it holds now, its revocation list too: also where
    /// that has this very certificate, which then counts for nobody.
    ///
    /// # Errors
    /// As [`Identity::load`]; the old identity then stays. [`Error::OtherId`] for a certificate that
    /// names somebody else: a process doesn't become another one while it runs.
    pub fn reload(&self, dir: &Path) -> Result<Arc<Identity>, Error> {
        let fresh = Arc::new(Identity::read(dir)?);
        let borne = self.get();
        if fresh.id != borne.id {
            return Err(Error::OtherId { borne: borne.id.clone(), found: fresh.id.clone() });
        }
        self.0.send_replace(Arc::clone(&fresh));
        Ok(fresh)
    }
}

impl From<Arc<Identity>> for CurrentIdentity {
    fn from(identity: Arc<Identity>) -> Self {
        Self(watch::Sender::new(identity))
    }
}

impl From<Identity> for CurrentIdentity {
    fn from(identity: Identity) -> Self {
        Arc::new(identity).into()
    }
}
