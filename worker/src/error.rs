//! Why a worker can't start or had to end, with what its exit status depends on.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hearth_api::WorkerId;
use hearth_daemon::probe;
use hearth_fabric::identity::SpiffeId;
use hearth_fabric::registry;

use crate::compute::LoadError;
use crate::config::ConfigError;

/// The exit status of a worker that hangs.
pub(crate) const HUNG: u8 = 3;

/// Why a worker can't start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate.
    #[error("tls.dir: the certificate can't be used")]
    Identity(#[from] hearth_fabric::identity::Error),
    /// The certificate is somebody else's.
    #[error(
        "tls.dir: the certificate is {certified}'s, and this is worker {worker}: make it one of its own \
         (hearth pki issue --role worker {worker}), or set worker.id to the name in the certificate"
    )]
    OtherIdentity {
        /// The worker.
        worker: WorkerId,
        /// Whom the certificate names.
        certified: SpiffeId,
    },
    /// The state folder.
    #[error("worker.state_dir {path} can't be used: name a folder that this user may write")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The endpoint's keys.
    #[error("worker.state_dir: the endpoint's keys can't be kept")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The UDP socket.
    #[error("worker.listen: choose another address or end the program that has it")]
    Listen(#[source] hearth_fabric::quic::Error),
    /// The probe's TCP socket.
    #[error("http.listen: choose another address, or \"off\"")]
    Probe(#[source] probe::Error),
    /// The registry's settings.
    #[error("the registry can't be used")]
    Registry(#[source] registry::Error),
    /// The registry refuses the worker for good.
    #[error("the registry refuses this worker")]
    Refused(#[source] Arc<registry::Error>),
    /// A model.
    #[error("a model can't be served")]
    Model(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system gives no threads, random bytes or process information.
    #[error("the system refuses what every process needs")]
    System(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A run of a graph takes longer than it may: the device may hang.
    #[error(
        "a run of a graph has taken {busy:.0?}, longer than worker.step_timeout ({limit:?}) allows: \
         the device hangs, or the limit is too short for the model"
    )]
    Hung {
        /// How long it has taken.
        busy: Duration,
        /// How long it may take.
        limit: Duration,
    },
    /// A thread of the computing half has ended by itself.
    #[error("the engine has ended: its log says why")]
    EngineEnded,
    /// The endpoint takes no calls any more.
    #[error("the endpoint has ended by itself, nobody can reach this worker: start it again")]
    EndpointEnded,
}

impl Error {
    /// The system refuses what every process needs.
    pub fn system(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::System(Box::new(error))
    }

    /// Whether a disk is full: that ends without a change of the config.
    fn is_full_disk(&self) -> bool {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if let Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) = kind {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// The exit status of a process that ends with this error: 2 where another start with the same
    /// config must fail as well, 3 for a hang, else 1.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        if let Self::Hung { .. } = self {
            return HUNG;
        }
        if self.is_configuration() { 2 } else { 1 }
    }

    /// Whether another start with the same config must fail as well.
    fn is_configuration(&self) -> bool {
        if self.is_full_disk() {
            return false;
        }
        matches!(
            self,
            Self::Config(_)
                | Self::Identity(_)
                | Self::OtherIdentity { .. }
                | Self::StateDir { .. }
                | Self::Keys(_)
                | Self::Registry(_)
                | Self::Model(_)
        ) || matches!(self, Self::Refused(error) if !matches!(**error, registry::Error::Ended))
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        Self::Model(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_fault_of_the_config() {
        let state_dir = |kind: io::ErrorKind| {
            let (path, source) = (PathBuf::from("/state"), io::Error::from(kind));
            Error::Refused(Arc::new(registry::Error::State { path, source }))
        };
        assert_eq!(state_dir(io::ErrorKind::NotADirectory).exit_status(), 2);
        assert_eq!(state_dir(io::ErrorKind::StorageFull).exit_status(), 1);
    }

    #[test]
    fn a_hang_has_a_status_of_its_own() {
        let (busy, limit) = (Duration::from_secs(3), Duration::from_secs(2));
        let error = Error::Hung { busy, limit };
        assert_eq!(error.exit_status(), 3);
        assert!(error.to_string().contains("taken 3s, longer than worker.step_timeout (2s)"));
        assert_eq!(Error::EngineEnded.exit_status(), 1);
    }
}
