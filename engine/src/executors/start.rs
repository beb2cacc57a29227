//! What an executor is started with.

use hearth_fabric::config::{RegistrySection, TlsSection};
use hearth_fabric::identity::{CurrentIdentity, Identity};
use hearth_fabric::registry;
use tokio_util::sync::CancellationToken;

use super::{Error, ExternalOptions};
use crate::config::ExecutorSection;

/// What an executor is started with.
#[derive(Clone)]
#[non_exhaustive]
pub struct Start {
    /// `[executor]`.
    pub executor: ExecutorSection,
    /// `[registry]`, where the config has it.
    pub registry: Option<RegistrySection>,
    /// The certificate of an engine that connects to existing workers, if it is loaded already. An
    /// engine that owns its workers gets a fresh one from its authority at each start.
    pub identity: Option<CurrentIdentity>,
    /// Program and version, for the workers' logs.
    pub agent: String,
    /// Asks a start that is under way to end: it first ends the workers that it has started, and
    /// returns [`Error::Stopped`]. A start that is dropped has no time for that.
    pub stop: CancellationToken,
}

impl Start {
    /// With a certificate that the caller has already.
    #[must_use]
    pub fn identity(mut self, identity: Option<CurrentIdentity>) -> Self {
        self.identity = identity;
        self
    }

    /// With a token that asks for the end of the start.
    #[must_use]
    pub fn stop(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// The options of an external executor: the config's registry and certificate, or the
    /// defaults if it names none.
    ///
    /// # Errors
    /// [`Error`] names the key.
    pub fn external(&self) -> Result<ExternalOptions, Error> {
        let registry = self.registry.clone().unwrap_or_default();
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => Identity::load(&TlsSection::default().dir)?.into(),
        };
        let registry = registry::open(&registry.url()?, &registry.settings()?)?;
        let options = ExternalOptions::new(registry, identity, self.agent.clone());
        Ok(options.only(self.executor.names()))
    }
}
