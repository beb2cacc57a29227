//! The ways to reach workers, by name.

mod external;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use external::{ExternalExecutor, ExternalOptions};

use crate::executor::Executor;

/// Why an executor can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No executor has this name.
    #[error("backend {name:?} is unknown: use {}", known.join(", "))]
    UnknownBackend {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The socket or the certificate does not serve.
    #[error("the transport can't start")]
    Transport(#[from] hearth_fabric::quic::Error),
    /// The registry can't be observed.
    #[error("the registry can't be used")]
    Registry(#[from] hearth_fabric::registry::Error),
}

/// Starts an executor.
type Factory = Box<dyn Fn(ExternalOptions) -> Result<Arc<dyn Executor>, Error> + Send + Sync>;

/// The executors that a config can name.
pub struct Backends(BTreeMap<String, Factory>);

impl Default for Backends {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Backends {
    /// Those of this library: `external`.
    #[must_use]
    pub fn builtin() -> Self {
        let mut backends = Self(BTreeMap::new());
        backends.register("external", |options| Ok(Arc::new(ExternalExecutor::start(options)?)));
        backends
    }

    /// Adds an executor under a name, in place of one that has it already.
    pub fn register(
        &mut self,
        name: &str,
        factory: impl Fn(ExternalOptions) -> Result<Arc<dyn Executor>, Error> + Send + Sync + 'static,
    ) {
        self.0.insert(name.to_owned(), Box::new(factory));
    }

    /// Checks that there is an executor of this name.
    ///
    /// # Errors
    /// [`Error::UnknownBackend`] lists those that there are.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        self.factory(name).map(drop)
    }

    /// Starts the executor of this name.
    ///
    /// # Errors
    /// [`Error`]. Must be called on a tokio runtime.
    pub fn start(&self, name: &str, options: ExternalOptions) -> Result<Arc<dyn Executor>, Error> {
        self.factory(name)?(options)
    }

    fn factory(&self, name: &str) -> Result<&Factory, Error> {
        self.0.get(name).ok_or_else(|| Error::UnknownBackend {
            name: name.to_owned(),
            known: self.0.keys().cloned().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_backend_is_refused_with_those_known() {
        let error = Backends::builtin().check("ray").unwrap_err().to_string();
        assert!(error.contains("ray") && error.contains("external"), "{error}");
        assert!(Backends::builtin().check("external").is_ok());
    }
}
