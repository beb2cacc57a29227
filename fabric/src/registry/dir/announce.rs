//! Keeps one worker's files and locks in a `dir` registry.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use hearth_protocol::Rank;
use hearth_protocol::record::WorkerRecord;
use tokio::sync::watch;

use super::{Layout, failed};
use crate::files;
use crate::registry::announcement::Desk;
use crate::registry::lock::Lock;
use crate::registry::state::{State, StateFolder};
use crate::registry::{AnnounceStatus, Error, MAX_WORKERS, RankWish, encode};

/// How often the files are checked: somebody may clean the directory up.
const CHECK: Duration = Duration::from_secs(1);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps a worker announced until it is withdrawn.
pub(super) async fn keep(layout: Arc<Layout>, folder: StateFolder, wish: RankWish, mut desk: Desk) {
    let mut state = match folder.lock(&layout.target()).await {
        Ok(state) => state,
        Err(error) => return desk.set(AnnounceStatus::Refused(Arc::new(error))),
    };
    let withdraw = desk.withdraw.clone();
    let mut was_registered = false;
    while !withdraw.is_cancelled() {
        let wanted = desk.record.borrow_and_update().clone();
        let error = match Claim::make(&layout, &mut state, wish, &wanted).await {
            Ok(claim) => {
                was_registered = true;
                desk.set(AnnounceStatus::Registered { rank: claim.rank });
                tokio::select! {
                    biased;
                    () = withdraw.cancelled() => {
                        claim.leave(&layout, &wanted);
                        break;
                    }
                    error = claim.hold(&layout, &mut desk.record) => error,
                }
            }
            Err(error) if error.is_conflict() && !was_registered => {
                return desk.set(AnnounceStatus::Refused(Arc::new(error)));
            }
            Err(error) => error,
        };
        desk.pending(error);
        tokio::select! {
            biased;
            () = withdraw.cancelled() => break,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    desk.set(AnnounceStatus::Withdrawn);
}

/// A worker's locks, held.
struct Claim {
    rank: Rank,
    worker: Lock,
    rank_lock: Lock,
}

impl Claim {
    async fn make(
        layout: &Layout,
        state: &mut State,
        wish: RankWish,
        record: &WorkerRecord,
    ) -> Result<Self, Error> {
        for folder in [layout.root.clone(), layout.workers(), layout.ranks()] {
            files::private_folder(&folder).map_err(failed(&folder))?;
        }
        let path = layout.lock(&record.worker_id);
        let worker = Lock::take(&path).await.map_err(failed(&path))?;
        let worker = worker.ok_or_else(|| Error::WorkerIdInUse {
            worker_id: record.worker_id.clone(),
            target: layout.target(),
        })?;
        let (rank, rank_lock) = take_rank(layout, state.rank(), wish)?;
        sign(&rank_lock, record).map_err(failed(&layout.rank(rank)))?;
        state.remember_rank(rank);
        let claim = Self { rank, worker, rank_lock };
        claim.write(layout, record).await?;
        Ok(claim)
    }

    /// Writes each change of the record; ends when the files are not ours any more.
    async fn hold(&self, layout: &Layout, wanted: &mut watch::Receiver<WorkerRecord>) -> Error {
        let mut check = tokio::time::interval(CHECK);
        loop {
            tokio::select! {
                biased;
                changed = wanted.changed() => {
                    if changed.is_err() {
                        // The owner is gone, and this task with it.
                        return std::future::pending().await;
                    }
                    let record = wanted.borrow_and_update().clone();
                    if let Err(error) = self.write(layout, &record).await {
                        return error;
                    }
                }
                _ = check.tick() => {
                    let id = wanted.borrow().worker_id.clone();
                    let ours = self.worker.is_at(&layout.lock(&id))
                        && self.rank_lock.is_at(&layout.rank(self.rank))
                        && layout.record(&id).exists();
                    if !ours {
                        return Error::Lost { target: layout.target() };
                    }
                }
            }
        }
    }

    async fn write(&self, layout: &Layout, record: &WorkerRecord) -> Result<(), Error> {
        let record = WorkerRecord { rank: self.rank, ..record.clone() };
        let (path, json) = (layout.record(&record.worker_id), encode(&record)?);
        let target = path.clone();
        let written = tokio::task::spawn_blocking(move || files::replace(&target, &json, 0o600));
        written.await.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(failed(&path))
    }

    /// Takes the record away; the locks go with the claim.
    fn leave(self, layout: &Layout, record: &WorkerRecord) {
        let path = layout.record(&record.worker_id);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a withdrawn worker's record is left");
        }
    }
}

/// The wished rank; for `Auto` the one of last time, else the lowest free one.
fn take_rank(layout: &Layout, last: Option<Rank>, wish: RankWish) -> Result<(Rank, Lock), Error> {
    let try_take = |rank: Rank| {
        let path = layout.rank(rank);
        Lock::try_take(&path).map_err(failed(&path))
    };
    if let RankWish::Fixed(rank) = wish {
        let lock = try_take(rank)?.ok_or_else(|| Error::DuplicateRank {
            rank,
            holder: holder(layout, rank),
            target: layout.target(),
        })?;
        return Ok((rank, lock));
    }
    let ranks = (0..).map(Rank).take(MAX_WORKERS);
    for rank in last.into_iter().chain(ranks) {
        if let Some(lock) = try_take(rank)? {
            return Ok((rank, lock));
        }
    }
    Err(Error::Full { target: layout.target() })
}

/// Leaves the worker's id in the lock file, for messages and people.
fn sign(lock: &Lock, record: &WorkerRecord) -> io::Result<()> {
    lock.file().set_len(0)?;
    let mut file = lock.file();
    writeln!(file, "{}", record.worker_id)
}

fn holder(layout: &Layout, rank: Rank) -> String {
    let mut text = String::new();
    let read =
        fs::File::open(layout.rank(rank)).and_then(|f| f.take(256).read_to_string(&mut text));
    match (read, text.trim()) {
        (Ok(_), id) if !id.is_empty() => id.to_owned(),
        _ => "(unknown)".to_owned(),
    }
}
