//! Why an executor can't start.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

use hearth_api::WorkerId;
use hearth_fabric::registry;

#[cfg(feature = "launchers")]
use super::workers;
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
    Config(#[from] hearth_base::config::Error),
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
    /// The start was asked to end ([`Start::stop`](super::Start::stop)), and what it had started has
    /// ended.
    #[error("the start was given up, as it was asked to")]
    Stopped,
    /// A start that failed has left workers that could not be ended.
    #[error("{reason}")]
    Unended {
        /// Which, and why.
        reason: String,
    },
    /// A worker ended before all were registered, and would end again.
    #[error("{reason}")]
    Worker {
        /// The worker.
        worker: WorkerId,
        /// How it ended, and what it said last.
        reason: String,
    },
    /// Not all workers were registered in time.
    #[error("not all workers were registered within {timeout:?} (executor.start_timeout): {fleet}")]
    Late {
        /// The time.
        timeout: Duration,
        /// The state of the workers.
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
    /// The system gives a blocking engine no threads.
    #[error("the system gives no threads")]
    Runtime(#[source] std::io::Error),
}

impl Error {
    /// Whether another start with the same config must fail as well.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        use Error as E;
        match self {
            E::UnknownBackend { .. }
            | E::Config(_)
            | E::Identity(_)
            | E::Registry(_)
            | E::Folder { .. }
            | E::Program { .. } => true,
            E::Transport(_)
            | E::Custom { .. }
            | E::Runtime(_)
            | E::Stopped
            | E::Unended { .. }
            | E::Worker { .. }
            | E::Late { .. } => false,
            #[cfg(feature = "launchers")]
            E::Launch(error) => error.is_configuration(),
            #[cfg(feature = "launchers")]
            E::PrivateRegistry { .. } => true,
            #[cfg(feature = "launchers")]
            E::Unowned { .. } | E::NoHandle => false,
        }
    }
}

#[cfg(feature = "launchers")]
impl From<workers::Error> for Error {
    fn from(error: workers::Error) -> Self {
        match error {
            workers::Error::Launch(error) => Self::Launch(error),
            workers::Error::Identity(error) => Self::Identity(error),
        }
    }
}
