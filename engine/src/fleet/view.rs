//! What is known of the workers, as callers and the planner see it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hearth_api::{Incarnation, Rank, RequestId, WorkerId};
use hearth_fabric::identity::Validity;
use hearth_protocol::record::{Capacity, ModelRecord, Suspect};

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
    /// Whether the error may pass by itself: the registry does not answer, and is tried again.
    pub unreachable: bool,
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
    /// Items that it has from others, as far as it has said.
    pub backlog: Backlog,
    /// Whether the registry has its record. A connected worker without one goes on serving.
    pub in_registry: bool,
    /// Its run; the connected one where there is a connection.
    pub incarnation: Option<Incarnation>,
    /// From when until when the certificate is valid that it has shown at its last connection.
    pub certificate: Option<Validity>,
    /// Why the run before ended, where this engine owns the worker's process.
    pub last_exit: Option<String>,
    /// The requests that it knows workers were lost to.
    pub suspects: Vec<Suspect>,
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
    /// Connected; a run of a graph doesn't end, and the worker does.
    Unhealthy,
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
    pub const NAMES: [&str; 9] = [
        "connecting",
        "loading",
        "ready",
        "draining",
        "sleeping",
        "unhealthy",
        "unknown",
        "lost",
        "failed",
    ];

    /// One word, as in `ready`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Sleeping => "sleeping",
            Self::Unhealthy => "unhealthy",
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
            Self::Loading
            | Self::Ready
            | Self::Draining
            | Self::Sleeping
            | Self::Unhealthy
            | Self::Unknown => None,
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

    /// The runs that were lost to a request, as the workers know it.
    pub fn lost_to(&self, request: &RequestId) -> impl Iterator<Item = Incarnation> {
        let suspects = self.workers.iter().flat_map(|worker| &worker.suspects);
        let of_it = suspects.filter(move |suspect| suspect.request_id == *request);
        of_it.flat_map(|suspect| suspect.runs.iter().copied())
    }

    /// Whether this run of a worker is connected, and so can't have been lost.
    #[must_use]
    pub fn is_connected(&self, worker: &WorkerId, run: Incarnation) -> bool {
        let known = self.worker(worker);
        known.is_some_and(|known| known.status.is_connected() && known.incarnation == Some(run))
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

/// How long a worker's word on its items counts.
const LASTS: Duration = Duration::from_secs(5);

/// The items that a worker has from others than this engine. Clones are the same, so a view shows
/// what is known at present.
#[derive(Debug, Clone, Default)]
pub struct Backlog(Arc<Mutex<Option<Report>>>);

/// What a worker said, and when.
#[derive(Debug, Clone, Copy)]
struct Report {
    others: u32,
    at: Instant,
}

impl Backlog {
    /// The number, as the worker said lately; none where it has not.
    #[must_use]
    pub fn get(&self, now: Instant) -> Option<u32> {
        let report = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        (now.saturating_duration_since(report.at) < LASTS).then_some(report.others)
    }

    /// The worker has `items` in all, `own` of them from this engine.
    pub(crate) fn note(&self, items: u32, own: u32, at: Instant) {
        let others = items.saturating_sub(own);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Report { others, at });
    }
}
