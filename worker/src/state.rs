//! What the worker's halves share: who it is, what it does, what it has counted.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::WorkerMetrics;
use hearth_api::{CallError, ErrorKind, Group, Incarnation, Rank, WorkerId};
use hearth_base::files::KeptFile;
use hearth_fabric::identity::CurrentIdentity;
use hearth_protocol::record::{Capacity, WorkerState};
use hearth_telemetry::procinfo::Process;
use tokio::sync::watch;

use crate::models::Models;
use crate::parts::Parts;

/// The worker as its methods see it.
pub(crate) struct Shared {
    pub(crate) id: WorkerId,
    pub(crate) group: Group,
    pub(crate) incarnation: Incarnation,
    pub(crate) capacity: Capacity,
    pub(crate) process: Process,
    pub(crate) parts: Arc<Parts>,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) models: Models,
    pub(crate) engine: EngineGauge,
    pub(crate) connections: AtomicU32,
    /// Time that one run of a graph may take before the worker counts as hung.
    pub(crate) step_timeout: Duration,
    /// What it was told to do.
    pub(crate) standing: Mutex<Standing>,
    /// Folders that an administrator may load models from.
    pub(crate) model_dirs: Vec<std::path::PathBuf>,
    /// What the worker does now.
    pub(crate) state: watch::Sender<WorkerState>,
    /// The rank that the registry confirmed last; none while it has not.
    pub(crate) rank: watch::Sender<Option<Rank>>,
    /// Whether the registry has the worker's record, as far as is known.
    pub(crate) registered: AtomicBool,
    /// Why the registry has not taken the record, as far as is known.
    pub(crate) pending: Mutex<Option<String>>,
    /// The certificate.
    pub(crate) identity: CurrentIdentity,
    /// Asked to end by a call.
    pub(crate) shutdown: tokio_util::sync::CancellationToken,
    /// A file that is there while the worker is drained, so that a restarted one is too.
    pub(crate) drain_marker: KeptFile,
    /// Its folder of its own.
    pub(crate) dir: std::path::PathBuf,
}

/// What the worker was told to do. Whether it is drained the parts' table knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// This run is about to end.
    pub(crate) ending: bool,
    /// The models of the start, or of a waking, are not there yet.
    pub(crate) loading: bool,
    /// It sleeps, or will once the accepted requests have ended.
    pub(crate) asleep: bool,
}

impl Shared {
    /// Refuses new requests from now on; those accepted are finished. Survives a restart.
    pub(crate) async fn drain(&self) {
        {
            let standing = self.standing();
            self.parts.set_draining(true);
            self.settle(standing);
        }
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
        let ending = {
            let standing = self.standing();
            let ending = standing.ending;
            if !ending {
                self.parts.set_draining(false);
                self.settle(standing);
            }
            ending
        };
        if let Err(error) = self.drain_marker.set(None).await {
            let path = self.drain_marker.path().display();
            tracing::warn!(%path, %error, "the worker may drain again after a restart");
        }
        if ending { Err(about_to_end()) } else { Ok(()) }
    }

    /// Refuses new requests for the rest of this run.
    pub(crate) fn end(&self) {
        let mut standing = self.standing();
        standing.ending = true;
        self.parts.set_draining(true);
        self.settle(standing);
    }

    /// Whether this run is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.standing().ending
    }

    /// The models of the start, or of a waking, are there. Gives what the worker does now.
    pub(crate) fn loaded(&self) -> WorkerState {
        let mut standing = self.standing();
        standing.loading = false;
        self.settle(standing)
    }

    /// Refuses new requests until it is woken.
    ///
    /// # Errors
    /// `draining` for a worker that is about to end, `not_ready` for one that still loads.
    pub(crate) fn fall_asleep(&self) -> Result<(), CallError> {
        let mut standing = self.standing();
        if standing.ending {
            return Err(about_to_end());
        }
        if standing.loading {
            return Err(still_loading());
        }
        standing.asleep = true;
        self.parts.set_asleep(true);
        self.settle(standing);
        Ok(())
    }

    /// Takes requests again, once the models are there where they have to be loaded.
    pub(crate) fn wake(&self, loading: bool) {
        let mut standing = self.standing();
        standing.asleep = false;
        standing.loading = loading;
        self.parts.set_asleep(false);
        self.settle(standing);
    }

    /// It was told to wake up and will; nothing where it has begun to already.
    pub(crate) fn begin_waking(&self) {
        let mut standing = self.standing();
        if standing.asleep {
            (standing.asleep, standing.loading) = (false, true);
            self.parts.set_asleep(false);
            self.settle(standing);
        }
    }

    /// Whether it sleeps, or will.
    pub(crate) fn is_asleep(&self) -> bool {
        self.standing().asleep
    }

    /// Fails in sleep, and while the models of the start are loaded.
    ///
    /// # Errors
    /// `not_ready`.
    pub(crate) fn check_awake(&self) -> Result<(), CallError> {
        let standing = *self.standing();
        match standing {
            Standing { asleep: true, .. } => Err(sleeping()),
            Standing { loading: true, .. } => Err(still_loading()),
            _ => Ok(()),
        }
    }

    /// Fails unless new work is taken.
    ///
    /// # Errors
    /// `not_ready` while models are loaded and in sleep, `draining`.
    pub(crate) fn check_open(&self) -> Result<(), CallError> {
        match *self.state.borrow() {
            WorkerState::Loading => Err(still_loading()),
            WorkerState::Sleeping => Err(sleeping()),
            WorkerState::Draining => {
                let message = "the worker is draining: ask another one";
                Err(CallError::new(ErrorKind::Draining, message))
            }
            WorkerState::Ready | WorkerState::Unknown => Ok(()),
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the worker does now. Under the lock, so that the last change is said last.
    fn settle(&self, standing: MutexGuard<'_, Standing>) -> WorkerState {
        let drained = self.parts.is_draining();
        let state = match *standing {
            Standing { ending: true, .. } => WorkerState::Draining,
            Standing { asleep: true, .. } => WorkerState::Sleeping,
            _ if drained => WorkerState::Draining,
            Standing { loading: true, .. } => WorkerState::Loading,
            _ => WorkerState::Ready,
        };
        self.state.send_replace(state);
        state
    }

    /// An error, with the word of where it happened.
    pub(crate) fn located(&self, error: CallError) -> CallError {
        error.at(&self.id, *self.rank.borrow())
    }

    /// Why the worker is not registered; none where that is not known.
    pub(crate) fn pending(&self) -> MutexGuard<'_, Option<String>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a step takes that takes longer than it may; none while all is well.
    pub(crate) fn hung(&self) -> Option<Duration> {
        let loading = *self.state.borrow() == WorkerState::Loading;
        let busy = self.engine.busy_for();
        (!loading && busy > self.step_timeout).then_some(busy)
    }
}

/// Since when the engine has been at one piece of work, or one run of a graph.
#[derive(Default)]
pub(crate) struct EngineGauge {
    since: Mutex<Option<Instant>>,
    /// Bytes of weights read.
    loaded_bytes: AtomicU64,
}

impl EngineGauge {
    /// Runs `work` and notes how long it takes meanwhile.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let set = |value| *self.since.lock().unwrap_or_else(PoisonError::into_inner) = value;
        set(Some(Instant::now()));
        let result = work();
        set(None);
        result
    }

    /// Its work goes on: a graph is about to run, one of several.
    pub(crate) fn goes_on(&self) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = since.map(|_| Instant::now());
    }

    /// How long the engine has been at its work, or at one run of a graph in it; zero when it waits.
    pub(crate) fn busy_for(&self) -> Duration {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(crate) fn add_loaded(&self, bytes: u64) {
        self.loaded_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn loaded_bytes(&self) -> u64 {
        self.loaded_bytes.load(Ordering::Relaxed)
    }
}

pub(crate) fn still_loading() -> CallError {
    let message = "the worker still loads its models: try again or ask another worker";
    CallError::new(ErrorKind::NotReady, message)
}

pub(crate) fn sleeping() -> CallError {
    let message = "the worker sleeps: hearth wake ends that, or ask another worker";
    CallError::new(ErrorKind::NotReady, message)
}

fn about_to_end() -> CallError {
    CallError::new(ErrorKind::Draining, "the worker is about to end: start it again")
}
