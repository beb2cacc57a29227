//! The executors that a config can name, and how they are started.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "launchers")]
use super::LaunchedExecutor;
use super::{Error, ExternalExecutor, MpExecutor, Start};
use crate::executor::Executor;
use crate::known_as;

/// An executor that is being started.
type StartFuture = Pin<Box<dyn Future<Output = Result<Arc<dyn Executor>, Error>> + Send>>;

/// How long a start that is asked to end may take to end the workers that it has started.
const STOPPED: Duration = Duration::from_secs(30);

type Factory = Box<dyn Fn(Start) -> StartFuture + Send + Sync>;

/// The executors that a config can name.
pub struct Backends(BTreeMap<String, Factory>);

impl Default for Backends {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Backends {
    /// Those of this library: `external`, `mp`, and `launched` with the feature `launchers`.
    #[must_use]
    pub fn builtin() -> Self {
        let mut backends = Self(BTreeMap::new());
        backends.register("external", async |start: Start| {
            Ok(Arc::new(ExternalExecutor::start(start.external()?)?) as _)
        });
        backends.register("mp", async |start: Start| {
            Ok(Arc::new(MpExecutor::start(&start).await?) as _)
        });
        #[cfg(feature = "launchers")]
        backends.register("launched", async |start: Start| {
            Ok(Arc::new(LaunchedExecutor::start(&start).await?) as _)
        });
        backends
    }

    /// Adds an executor under a name, replacing one that has it already. The factory runs on a
    /// tokio runtime. Its errors are best an [`Error::Custom`].
    pub fn register<F, Fut>(&mut self, name: &str, factory: F)
    where
        F: Fn(Start) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn Executor>, Error>> + Send + 'static,
    {
        self.0.insert(name.to_owned(), Box::new(move |start| Box::pin(factory(start))));
    }

    /// Checks that there is an executor of this name.
    ///
    /// # Errors
    /// [`Error::UnknownBackend`] lists those that there are.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        self.factory(name).map(drop)
    }

    /// Starts the executor that `start.executor.backend` names.
    ///
    /// # Errors
    /// [`Error`]. Must be called on a tokio runtime.
    pub async fn start(&self, start: Start) -> Result<Arc<dyn Executor>, Error> {
        start.executor.check()?;
        let (stop, owns) = (start.stop.clone(), start.executor.owns_workers());
        if stop.is_cancelled() {
            return Err(Error::Stopped);
        }
        let mut starting = self.factory(&start.executor.backend)?(start);
        tokio::select! {
            biased;
            started = &mut starting => return started,
            () = stop.cancelled() => {}
        }
        // A start that owns workers has to end them; any other leaves nothing behind when dropped.
        match owns {
            true => tokio::time::timeout(STOPPED, starting).await.unwrap_or(Err(Error::Stopped)),
            false => Err(Error::Stopped),
        }
    }

    fn factory(&self, name: &str) -> Result<&Factory, Error> {
        let found = self.0.get(name).or_else(|| self.0.get(known_as::backend(name)));
        found.ok_or_else(|| Error::UnknownBackend {
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
        assert!(Backends::builtin().check("external_launcher").is_ok());
    }
}
