//! A worker's announcement: the handle that keeps it alive, and its status.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::Rank;
use hearth_protocol::record::WorkerRecord;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::record::encode;
use hearth_base::task::OwnedTask;

/// How long a withdrawal may take; whatever is left after that expires.
pub(super) const WITHDRAWAL: Duration = Duration::from_secs(3);

/// The status of an announcement.
#[derive(Debug, Clone)]
pub enum AnnounceStatus {
    /// Not announced; it is tried again.
    Pending {
        /// Why the last attempt failed.
        reason: Option<Arc<Error>>,
    },
    /// Announced under this rank.
    Registered {
        /// The rank that is held.
        rank: Rank,
    },
    /// Final: another worker has the rank or the id. Only before the first registration.
    Refused(Arc<Error>),
    /// Final: taken back.
    Withdrawn,
}

/// Keeps a worker announced.
///
/// Dropping it withdraws nothing, as a crash would: the announcement is just no longer renewed.
#[derive(Debug)]
pub struct Announcement {
    status: watch::Receiver<AnnounceStatus>,
    record: watch::Sender<WorkerRecord>,
    withdraw: CancellationToken,
    task: OwnedTask,
}

/// What the background task of an announcement works with.
pub(super) struct Desk {
    /// Its status.
    pub(super) status: watch::Sender<AnnounceStatus>,
    /// What to announce.
    pub(super) record: watch::Receiver<WorkerRecord>,
    /// Asks for the withdrawal.
    pub(super) withdraw: CancellationToken,
}

impl Announcement {
    /// Starts the task that keeps `record` announced.
    pub(super) fn spawn<F>(record: WorkerRecord, keeper: impl FnOnce(Desk) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, status) = watch::channel(AnnounceStatus::Pending { reason: None });
        let (record, wanted) = watch::channel(record);
        let withdraw = CancellationToken::new();
        let desk = Desk { status: sender, record: wanted, withdraw: withdraw.clone() };
        let future = keeper(desk);
        // The task only listens for the withdrawal: dropping the owner aborts it wherever it is.
        let task = OwnedTask::spawn("registry announcement", |_| future);
        Self { status, record, withdraw, task }
    }

    /// The status and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<AnnounceStatus> {
        self.status.clone()
    }

    /// Waits for the first registration or the refusal.
    ///
    /// # Errors
    /// The refusal, or [`Error::Ended`].
    pub async fn registered(&self) -> Result<Rank, Arc<Error>> {
        let mut status = self.status();
        loop {
            match &*status.borrow_and_update() {
                AnnounceStatus::Registered { rank } => return Ok(*rank),
                AnnounceStatus::Refused(error) => return Err(Arc::clone(error)),
                AnnounceStatus::Pending { .. } | AnnounceStatus::Withdrawn => {}
            }
            if status.changed().await.is_err() {
                return Err(Arc::new(Error::Ended));
            }
        }
    }

    /// Changes the record; it is written soon. Its rank and its worker's id stay.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`]; the announced record stays.
    pub fn update(&self, change: impl FnOnce(&mut WorkerRecord)) -> Result<(), Error> {
        let mut next = self.record.borrow().clone();
        let id = next.worker_id.clone();
        change(&mut next);
        next.worker_id = id;
        encode(&next)?;
        self.record.send_if_modified(|record| {
            let changed = *record != next;
            *record = next;
            changed
        });
        Ok(())
    }

    /// Withdraws the announcement and waits for that, at most three seconds.
    pub async fn withdraw(mut self) {
        self.withdraw.cancel();
        if tokio::time::timeout(WITHDRAWAL, self.task.join()).await.is_err() {
            tracing::warn!("the announcement could not be withdrawn in time: it will expire");
        }
    }
}

impl Desk {
    pub(super) fn set(&self, status: AnnounceStatus) {
        self.status.send_replace(status);
    }

    pub(super) fn pending(&self, reason: Error) {
        self.set(AnnounceStatus::Pending { reason: Some(Arc::new(reason)) });
    }
}
