//! What the worker's methods share: who it is, how it stands with its registry, and the way to
//! compute.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hearth_api::{CallError, Group, Incarnation, Rank, WorkerId};
use hearth_base::files::KeptFile;
use hearth_base::repeats::Repeats;
use hearth_fabric::identity::CurrentIdentity;
use hearth_protocol::record::Capacity;
use hearth_telemetry::log::Recent;
use hearth_telemetry::procinfo::Process;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admission::Preparations;
use crate::compute::{Gauge, Inbox, Plan};
use crate::metrics::WorkerMetrics;
use crate::suspects::Journal;

/// The worker as its methods see it.
pub(crate) struct Shared {
    pub(crate) id: WorkerId,
    pub(crate) group: Group,
    pub(crate) incarnation: Incarnation,
    pub(crate) capacity: Capacity,
    pub(crate) process: Process,
    /// Where items, orders and models are.
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) preparations: Preparations,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) gauge: Arc<Gauge>,
    /// The requests that workers were lost to.
    pub(crate) journal: Arc<Journal>,
    pub(crate) connections: AtomicU32,
    /// Time that one run of a graph may take before the worker counts as hung.
    pub(crate) step_timeout: Duration,
    /// Folders that an administrator may load models from.
    pub(crate) model_dirs: Vec<std::path::PathBuf>,
    /// Where it can be reached.
    pub(crate) endpoints: watch::Sender<Vec<SocketAddr>>,
    /// The rank that the registry confirmed last; none while it has not.
    pub(crate) rank: watch::Sender<Option<Rank>>,
    /// Whether the registry has the worker's record, as far as is known.
    pub(crate) registered: AtomicBool,
    /// Why the registry has not taken the record, as far as is known.
    pub(crate) pending: Mutex<Option<String>>,
    /// The certificate.
    pub(crate) identity: CurrentIdentity,
    /// Calls that were refused, so that they don't fill the log.
    pub(crate) refusals: Repeats,
    /// Asked to end by a call.
    pub(crate) shutdown: CancellationToken,
    /// Cancelled once all requests have ended: calls that wait for news are answered then.
    pub(crate) closing: CancellationToken,
    /// The log's last lines, where the program keeps them.
    pub(crate) log: OnceLock<Recent>,
    /// A file that is there while the worker is drained, so that a restarted one is too.
    pub(crate) drain_marker: KeptFile,
    /// Its folder of its own.
    pub(crate) dir: std::path::PathBuf,
}

impl Shared {
    /// Refuses new requests from now on; those accepted are finished. Survives a restart.
    pub(crate) async fn drain(&self) {
        self.inbox.change(Plan::drain);
        if let Err(error) = self.drain_marker.set(Some(Vec::new())).await {
            let path = self.drain_marker.path().display();
            tracing::warn!(%path, %error, "the drain may not survive a restart");
        }
    }

    /// Takes requests again.
    ///
    /// # Errors
    /// `draining` for a worker that is about to end.
    pub(crate) async fn resume(&self) -> Result<(), CallError> {
        let resumed = self.inbox.change(Plan::resume);
        if let Err(error) = self.drain_marker.set(None).await {
            let path = self.drain_marker.path().display();
            tracing::warn!(%path, %error, "the worker may drain again after a restart");
        }
        resumed
    }

    /// An error, with the word of where it happened.
    pub(crate) fn located(&self, error: CallError) -> CallError {
        error.at(&self.id, *self.rank.borrow())
    }

    /// Why the worker is not registered; none where that is not known.
    pub(crate) fn pending(&self) -> MutexGuard<'_, Option<String>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a run of a graph takes that takes longer than it may; none while all is well. Models
    /// are loaded and warmed up by another thread than this is about, and take as long as they take.
    pub(crate) fn hung(&self) -> Option<Duration> {
        let busy = self.gauge.busy_for();
        (busy > self.step_timeout).then_some(busy)
    }
}
