//! The ways to reach workers, by name.

mod external;
#[cfg(feature = "launchers")]
mod launched;
mod mp;
mod owned;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use external::{ExternalExecutor, ExternalOptions};
#[cfg(feature = "launchers")]
pub use launched::LaunchedExecutor;
pub use mp::MpExecutor;

use hearth_fabric::config::{RegistrySection, TlsSection};
use hearth_fabric::identity::{CurrentIdentity, Identity};
use hearth_fabric::quic::Settings;
use hearth_fabric::registry;
use hearth_protocol::WorkerId;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ExecutorSection};
use crate::executor::Executor;
use crate::known_as::{self, What};

/// Why an executor can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No executor has this name.
    #[error("backend {name:?} is unknown: use {}{}", known.join(", "), known_as::hint(What::Backend, name))]
    UnknownBackend {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The config.
    #[error(transparent)]
    Config(#[from] hearth_fabric::config::Error),
    /// The certificate.
    #[error("the certificate can't be used")]
    Identity(#[from] hearth_fabric::identity::Error),
    /// The socket or the certificate does not serve.
    #[error("the transport can't start")]
    Transport(#[from] hearth_fabric::quic::Error),
    /// The registry can't be observed.
    #[error("the registry can't be used")]
    Registry(#[from] registry::Error),
    /// The folder of an engine that owns its workers.
    #[error("the folder {} can't be used: name another in executor.runtime_dir", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The worker program.
    #[error("the worker program {} can't be run: name it in executor.program", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The start was asked to end ([`Start::stop`]), and what it had begun has ended.
    #[error("the start was given up, as it was asked to")]
    Stopped,
    /// A start that did not come about has left workers that could not be ended.
    #[error("{reason}")]
    Unended {
        /// Which, and why.
        reason: String,
    },
    /// A worker ended before all were there, and would again.
    #[error("{reason}")]
    Worker {
        /// The worker.
        worker: WorkerId,
        /// How it ended, and what it said last.
        reason: String,
    },
    /// Not all workers were there in time.
    #[error("not all workers were registered within {timeout:?} (executor.start_timeout): {fleet}")]
    Late {
        /// The time.
        timeout: Duration,
        /// How the workers were.
        fleet: String,
    },
    /// The launcher refuses.
    #[cfg(feature = "launchers")]
    #[error("the replicas can't be launched")]
    Launch(#[from] hearth_launchers::Error),
    /// A launcher that gives no handle for what it has launched.
    #[cfg(feature = "launchers")]
    #[error("the launcher gave no handle for a replica")]
    NoHandle,
    /// Replicas on other hosts do not reach a folder of this one.
    #[cfg(feature = "launchers")]
    #[error(
        "replicas of the launcher {launcher} run on other hosts: name a registry that they reach, \
         as in [registry] url = \"etcd://HOST:2379/GROUP\""
    )]
    PrivateRegistry {
        /// The launcher.
        launcher: &'static str,
    },
    /// The engine's name can't be held in the registry.
    #[cfg(feature = "launchers")]
    #[error("{registry} does not answer, and replicas would not know when their engine is gone")]
    Unowned {
        /// The registry.
        registry: String,
    },
    /// An executor that the program registered.
    #[error("the executor {name:?} can't start")]
    Custom {
        /// Its name.
        name: String,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The threads of a blocking engine.
    #[error("the system gives no threads")]
    Runtime(#[source] std::io::Error),
}

impl Error {
    /// Whether another start with the same config must fail as well.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        use Error as E;
        #[cfg(feature = "launchers")]
        match self {
            E::Launch(error) => return error.is_configuration(),
            E::Unowned { .. } | E::NoHandle => return false,
            _ => {}
        }
        !matches!(
            self,
            E::Transport(_)
                | E::Custom { .. }
                | E::Runtime(_)
                | E::Stopped
                | E::Unended { .. }
                | E::Worker { .. }
                | E::Late { .. }
        )
    }
}

/// What an executor is started with.
#[derive(Clone)]
pub struct Start {
    /// `[executor]`.
    pub executor: ExecutorSection,
    /// `[registry]`, where the config has it.
    pub registry: Option<RegistrySection>,
    /// The certificate of an engine that connects to workers of others, where it has one already.
    /// One that owns its workers has a fresh one of its authority at each start.
    pub identity: Option<CurrentIdentity>,
    /// Program and version, for the workers' logs.
    pub agent: String,
    /// Asks for the end of a start that is under way: workers that were started for it are ended
    /// first, and it is [`Error::Stopped`]. One that is dropped has no time for that.
    pub stop: CancellationToken,
}

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
        Ok(Self { identity, ..Self::bare(config, agent) })
    }

    /// What a config says, without a certificate.
    pub(crate) fn bare(config: &Config, agent: &str) -> Self {
        let (executor, registry) = (config.executor.clone(), config.registry.clone());
        let stop = CancellationToken::new();
        Self { executor, registry, identity: None, agent: agent.to_owned(), stop }
    }

    /// The options of an external executor: the config's registry and certificate, or the usual
    /// ones where it names none.
    ///
    /// # Errors
    /// [`Error`] names the key.
    pub fn external(&self) -> Result<ExternalOptions, Error> {
        let registry = self.registry.clone().unwrap_or_default();
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => Identity::load(&TlsSection::default().dir)?.into(),
        };
        Ok(ExternalOptions {
            registry: registry::open(&registry.url()?, &registry.settings()?)?,
            identity,
            agent: self.agent.clone(),
            settings: Settings::default(),
            only: self.executor.names(),
        })
    }
}

/// An executor that is being started.
type Started = Pin<Box<dyn Future<Output = Result<Arc<dyn Executor>, Error>> + Send>>;

/// How long a start that is asked to end may take to end the workers that it has begun.
const STOPPED: Duration = Duration::from_secs(30);

type Factory = Box<dyn Fn(Start) -> Started + Send + Sync>;

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

    /// Adds an executor under a name, in place of one that has it already. The factory runs on a
    /// tokio runtime. What it fails of is best an [`Error::Custom`].
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
        // One that has begun workers ends them; another has nothing that a drop would leave.
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

/// The worker program, where the config names none.
const WORKER: &str = "hearth-worker";

/// The worker program that was installed with this one, else the one on PATH.
fn worker_program() -> PathBuf {
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent).map(|folder| folder.join(WORKER));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(WORKER))
}

/// Compute threads of each of `count` workers that share this host.
fn share_of_cores(count: u32) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / count.max(1) as usize).max(1)
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
