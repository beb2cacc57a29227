//! What is known of the workers, as callers and the planner see it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use hearth_api::{Incarnation, Rank, WorkerId};
use hearth_fabric::identity::Validity;
use hearth_protocol::record::{Capacity, ModelRecord};

/// The fleet at one instant.
#[derive(Debug, Clone, Default)]
pub struct FleetView {
    /// Which registry, for people: `etcd://127.0.0.1:2379/default`.
    pub registry: String,
    /// Whether the registry has given a full list at least once.
    pub synced: bool,
    /// Since when the registry has not answered; what it said last is kept.
    pub stale_since: Option<Instant>,
    /// Why the view is stale or empty.
    pub error: Option<String>,
    /// The workers, by rank, those without one last.
    pub workers: Vec<Arc<WorkerView>>,
    /// Addresses of a `static` registry that have not said yet who is there.
    pub endpoints: Vec<EndpointView>,
}

/// One worker.
#[derive(Debug, Clone)]
pub struct WorkerView {
    /// Its name.
    pub id: WorkerId,
    /// Its position in the group; none until it has one.
    pub rank: Option<Rank>,
    /// `cpu` or `cuda:I`; none where the registry does not say (`static`).
    pub device: Option<String>,
    /// Whether it can be called and takes requests.
    pub status: WorkerStatus,
    /// While it loads its models: how much of them is read, in percent.
    pub percent: Option<u8>,
    /// Where it listens (UDP), best first.
    pub addresses: Vec<SocketAddr>,
    /// What it serves.
    pub models: Vec<ModelRecord>,
    /// How much it takes on; none until it is known.
    pub capacity: Option<Capacity>,
    /// The worker program's version.
    pub version: Option<String>,
    /// Start of its run, seconds since 1970 (UTC).
    pub started_at: Option<u64>,
    /// Items that this engine has given it and that have not ended.
    pub in_flight: InFlight,
    /// Whether the registry has its record. A connected worker without one goes on serving.
    pub in_registry: bool,
    /// Its run; the connected one where there is a connection.
    pub incarnation: Option<Incarnation>,
    /// From when until when the certificate is valid that it has shown at its last connection.
    pub certificate: Option<Validity>,
    /// Why the run before ended, where this engine owns the worker's process.
    pub last_exit: Option<String>,
}

/// An address without a known worker.
#[derive(Debug, Clone)]
pub struct EndpointView {
    /// The address.
    pub address: SocketAddr,
    /// Connecting, or why it is not.
    pub status: WorkerStatus,
}

/// Whether a worker can be called and takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerStatus {
    /// No connection yet.
    Connecting {
        /// Why the last try failed.
        error: Option<String>,
    },
    /// Connected; models are being loaded.
    Loading,
    /// Connected; takes requests.
    Ready,
    /// Connected; finishes what runs, takes nothing new.
    Draining,
    /// Connected; has given its device memory back.
    Sleeping,
    /// Connected; in a state of a newer version, takes nothing.
    Unknown,
    /// The connection has ended and is being made again.
    Lost {
        /// Why.
        reason: String,
    },
    /// The worker's process, which this engine owns, has ended and is not started again.
    Failed {
        /// Why.
        reason: String,
    },
}

impl WorkerStatus {
    /// Whether the worker can be called.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !matches!(self, Self::Connecting { .. } | Self::Lost { .. } | Self::Failed { .. })
    }

    /// All names of a status.
    pub const NAMES: [&str; 8] =
        ["connecting", "loading", "ready", "draining", "sleeping", "unknown", "lost", "failed"];

    /// One word, as in `ready`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Sleeping => "sleeping",
            Self::Unknown => "unknown",
            Self::Lost { .. } => "lost",
            Self::Failed { .. } => "failed",
        }
    }

    /// Why the worker can't be called, where that is known.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Connecting { error } => error.as_deref(),
            Self::Lost { reason } | Self::Failed { reason } => Some(reason),
            Self::Loading | Self::Ready | Self::Draining | Self::Sleeping | Self::Unknown => None,
        }
    }
}

/// Its name.
impl fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FleetView {
    /// The workers that take requests.
    pub fn ready(&self) -> impl Iterator<Item = &WorkerView> {
        self.workers
            .iter()
            .map(|worker| &**worker)
            .filter(|worker| worker.status == WorkerStatus::Ready)
    }

    /// The worker of this name.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> Option<&WorkerView> {
        self.workers.iter().map(|worker| &**worker).find(|worker| worker.id == *id)
    }
}

/// A count of items under way. Clones count together, so a view shows the present number and not
/// the one at its making.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<AtomicU32>);

impl InFlight {
    /// The present number.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn remove(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
