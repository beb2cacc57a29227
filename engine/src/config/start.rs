//! A config as the start of its executor.

use hearth_fabric::identity::Identity;
use tokio_util::sync::CancellationToken;

use super::Config;
use crate::executors::{Error, Start};

impl Start {
    /// What a config says, with its certificate.
    ///
    /// # Errors
    /// [`Error::Identity`].
    pub fn new(config: &Config, agent: &str) -> Result<Self, Error> {
        let identity = match config.tls_dir() {
            Some(dir) => Some(Identity::load(&dir)?.into()),
            None => None,
        };
        Ok(Self { identity, ..Self::without_identity(config, agent) })
    }

    /// What a config says, without a certificate.
    #[must_use]
    pub fn without_identity(config: &Config, agent: &str) -> Self {
        let (executor, registry) = (config.executor.clone(), config.registry.clone());
        let stop = CancellationToken::new();
        Self { executor, registry, identity: None, agent: agent.to_owned(), stop }
    }
}
