//! What an observer sees.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hearth_api::WorkerId;
use hearth_protocol::record::WorkerRecord;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Error, MAX_WORKERS};
use hearth_base::task::OwnedTask;

/// The workers of a group, as last reported.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Announced workers. One that did not change keeps its `Arc`.
    pub workers: BTreeMap<WorkerId, Arc<WorkerRecord>>,
    /// Addresses without a record (`static`): the worker there has to be asked who it is.
    pub endpoints: Vec<SocketAddr>,
    /// Whether a full list was received at least once.
    pub synced: bool,
    /// Since when the registry has not answered; what it said last is kept.
    pub stale_since: Option<Instant>,
    /// Why the view is stale or empty.
    pub error: Option<Arc<Error>>,
}

/// Keeps a [`View`] up to date until it is dropped.
#[derive(Debug)]
pub struct Observation {
    view: watch::Receiver<Arc<View>>,
    _task: OwnedTask,
}

impl Observation {
    pub(super) fn spawn<F>(observer: impl FnOnce(Publisher, CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, view) = watch::channel(Arc::default());
        let task =
            OwnedTask::spawn("registry observer", |cancel| observer(Publisher(sender), cancel));
        Self { view, _task: task }
    }

    /// The view, and its changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }
}

/// The writing end of a view.
pub(super) struct Publisher(watch::Sender<Arc<View>>);

impl Publisher {
    /// A full list was received.
    pub(super) fn replace(&self, mut workers: BTreeMap<WorkerId, Arc<WorkerRecord>>) {
        let old = Arc::clone(&self.0.borrow());
        for (id, record) in &mut workers {
            if let Some(known) = old.workers.get(id).filter(|known| *known == record) {
                *record = Arc::clone(known);
            }
        }
        if old.synced && old.error.is_none() && same(&old.workers, &workers) {
            return;
        }
        self.publish(View { workers, synced: true, ..View::default() });
    }

    /// Some workers came, changed or went.
    pub(super) fn change(&self, changes: Vec<Change>) {
        let mut next = View::clone(&self.0.borrow());
        for change in changes {
            match change {
                Change::Put(record) => put(&mut next.workers, *record),
                Change::Gone(id) => drop(next.workers.remove(&id)),
            }
        }
        self.publish(next);
    }

    /// The addresses of a list are known.
    pub(super) fn endpoints(&self, endpoints: Vec<SocketAddr>, error: Option<Error>) {
        let old = Arc::clone(&self.0.borrow());
        let synced = old.synced || error.is_none();
        if synced == old.synced
            && endpoints == old.endpoints
            && error.is_none()
            && old.error.is_none()
        {
            return;
        }
        let error = error.map(Arc::new);
        self.publish(View { endpoints, synced, error, ..View::default() });
    }

    /// There is certainly no worker, for a reason that people should know.
    pub(super) fn empty(&self, error: Error) {
        let old = Arc::clone(&self.0.borrow());
        if old.workers.is_empty() && old.error.is_some() {
            return;
        }
        let error = Some(Arc::new(error));
        self.publish(View { synced: old.synced, error, ..View::default() });
    }

    /// The registry does not answer; what it said last stays.
    pub(super) fn stale(&self, error: Error) {
        let mut next = View::clone(&self.0.borrow());
        next.stale_since.get_or_insert_with(Instant::now);
        next.error = Some(Arc::new(error));
        self.publish(next);
    }

    fn publish(&self, view: View) {
        self.0.send_replace(Arc::new(view));
    }
}

/// One worker's coming, change or leaving.
pub(super) enum Change {
    /// The worker is there, with this record.
    Put(Box<WorkerRecord>),
    /// It is gone.
    Gone(WorkerId),
}

/// Adds a record, unless the view is full.
pub(super) fn put(workers: &mut BTreeMap<WorkerId, Arc<WorkerRecord>>, record: WorkerRecord) {
    let id = record.worker_id.clone();
    if workers.len() >= MAX_WORKERS && !workers.contains_key(&id) {
        tracing::warn!(worker = %id, "a view holds at most {MAX_WORKERS} workers: skipped");
        return;
    }
    workers.insert(id, Arc::new(record));
}

/// Whether two lists hold the very same records.
fn same(
    one: &BTreeMap<WorkerId, Arc<WorkerRecord>>,
    other: &BTreeMap<WorkerId, Arc<WorkerRecord>>,
) -> bool {
    one.len() == other.len() && one.values().zip(other.values()).all(|(a, b)| Arc::ptr_eq(a, b))
}
