//! A worker's announcement: the handle that keeps it, and how it stands.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::Rank;
use hearth_protocol::record::WorkerRecord;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::record::encode;
use hearth_base::task::OwnedTask;

/// How long a withdrawal may take; what is left then goes by expiry.
pub(super) const WITHDRAWAL: Duration = Duration::from_secs(3);

/// How an announcement stands.
#[derive(Debug, Clone)]
pub enum AnnounceStatus {
    /// Not announced, and being tried again.
    Pending {
        /// What the last try met.
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
/// Dropping it stops the keeping and takes nothing back, as a crash would.
#[derive(Debug)]
pub struct Announcement {
    status: watch::Receiver<AnnounceStatus>,
    record: watch::Sender<WorkerRecord>,
    withdraw: CancellationToken,
    task: OwnedTask,
}

/// What the background task of an announcement works with.
pub(super) struct Desk {
    /// How it stands.
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
        // The task listens to the withdrawal only: the owner's drop aborts it where it stands.
        let task = OwnedTask::spawn("registry announcement", |_| future);
        Self { status, record, withdraw, task }
    }

    /// How it stands, and its changes.
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

    /// Takes the announcement back and waits until that is done, at most three seconds.
    pub async fn withdraw(mut self) {
        self.withdraw.cancel();
        if tokio::time::timeout(WITHDRAWAL, self.task.join()).await.is_err() {
            tracing::warn!("the announcement could not be taken back in time: it will expire");
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
