//! Keeps one worker's files and locks in a `dir` registry.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use hearth_api::{Rank, WorkerId};
use hearth_protocol::record::WorkerRecord;
use tokio::time::MissedTickBehavior;

use super::layout::{Layout, answered, failed};
use crate::registry::announcement::Desk;
use crate::registry::lock::Lock;
use crate::registry::record::encode;
use crate::registry::state::{State, StateFolder};
use crate::registry::{AnnounceStatus, Error, MAX_WORKERS, RankWish};
use hearth_base::files;

/// How often the files are checked: somebody may clean up the directory.
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
        let making = Claim::make(&layout, &mut state, wish, &wanted);
        let error = match answered(making, || desk.pending(layout.silent())).await {
            Ok(claim) => {
                was_registered = true;
                desk.set(AnnounceStatus::Registered { rank: claim.rank });
                tokio::select! {
                    biased;
                    () = withdraw.cancelled() => {
                        claim.leave(&layout, &wanted).await;
                        break;
                    }
                    error = claim.hold(&layout, &mut desk) => error,
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
    locks: Arc<Locks>,
}

struct Locks {
    worker: Lock,
    rank: Lock,
}

impl Claim {
    async fn make(
        layout: &Arc<Layout>,
        state: &mut State,
        wish: RankWish,
        record: &WorkerRecord,
    ) -> Result<Self, Error> {
        let (of, last, id) = (Arc::clone(layout), state.rank(), record.worker_id.clone());
        let taken = files::run_blocking(move || take(&of, &id, last, wish)).await;
        let (rank, locks) = taken.map_err(failed(&layout.root))??;
        state.remember_rank(rank).await;
        let claim = Self { rank, locks: Arc::new(locks) };
        claim.write(layout, record).await?;
        Ok(claim)
    }

    /// Writes each change of the record; ends when the files are no longer ours. On a full disk
    /// the old record stays, and the worker stays listed.
    async fn hold(&self, layout: &Arc<Layout>, desk: &mut Desk) -> Error {
        let mut check = tokio::time::interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut written, mut pending) = (true, false);
        loop {
            let look = tokio::select! {
                biased;
                changed = desk.record.changed() => {
                    if changed.is_err() {
                        // The owner is gone, and this task with it.
                        return std::future::pending().await;
                    }
                    written = false;
                    false
                }
                _ = check.tick() => true,
            };
            // A change that came since is seen in the next round.
            let record = desk.record.borrow().clone();
            let mut silent = || {
                pending = true;
                desk.pending(layout.silent());
            };
            if look && let Err(error) = answered(self.look(layout, &record), &mut silent).await {
                return error;
            }
            let outcome = match written {
                true => Ok(()),
                false => answered(self.write(layout, &record), silent).await,
            };
            written = outcome.is_ok();
            match outcome {
                Err(error) => {
                    pending = true;
                    desk.pending(error);
                }
                Ok(()) if std::mem::take(&mut pending) => {
                    desk.set(AnnounceStatus::Registered { rank: self.rank });
                }
                Ok(()) => {}
            }
        }
    }

    async fn write(&self, layout: &Layout, record: &WorkerRecord) -> Result<(), Error> {
        let record = WorkerRecord { rank: self.rank, ..record.clone() };
        let (path, json) = (layout.record(&record.worker_id), encode(&record)?);
        let target = path.clone();
        let written = files::run_blocking(move || files::replace(&target, &json, 0o600)).await;
        written.unwrap_or_else(Err).map_err(failed(&path))
    }

    /// Fails unless the files are still ours.
    async fn look(&self, layout: &Arc<Layout>, record: &WorkerRecord) -> Result<(), Error> {
        let (of, locks, rank) = (Arc::clone(layout), Arc::clone(&self.locks), self.rank);
        let id = record.worker_id.clone();
        let ours = files::run_blocking(move || {
            locks.worker.is_at(&of.lock(&id))
                && locks.rank.is_at(&of.rank(rank))
                && of.record(&id).exists()
        });
        match ours.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::Lost { target: layout.target() }),
        }
    }

    /// Takes the record away; the locks go with the claim.
    async fn leave(self, layout: &Layout, record: &WorkerRecord) {
        let path = layout.record(&record.worker_id);
        let at = path.clone();
        let removed = files::run_blocking(move || fs::remove_file(at)).await;
        if let Err(error) = removed.unwrap_or_else(Err)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a withdrawn worker's record is left");
        }
    }
}

/// Takes a worker's locks; the thread waits for them.
fn take(
    layout: &Layout,
    id: &WorkerId,
    last: Option<Rank>,
    wish: RankWish,
) -> Result<(Rank, Locks), Error> {
    for folder in [layout.root.clone(), layout.workers(), layout.ranks()] {
        files::private_folder(&folder).map_err(failed(&folder))?;
    }
    let path = layout.lock(id);
    let worker = Lock::take(&path).map_err(failed(&path))?;
    let worker = worker
        .ok_or_else(|| Error::WorkerIdInUse { worker_id: id.clone(), target: layout.target() })?;
    let (rank, rank_lock) = take_rank(layout, last, wish)?;
    sign(&rank_lock, id).map_err(failed(&layout.rank(rank)))?;
    Ok((rank, Locks { worker, rank: rank_lock }))
}

/// The requested rank; for `Auto` the last one, else the lowest free one.
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
fn sign(lock: &Lock, id: &WorkerId) -> io::Result<()> {
    lock.file().set_len(0)?;
    let mut file = lock.file();
    writeln!(file, "{id}")
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
