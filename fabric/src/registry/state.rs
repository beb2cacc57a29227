//! What a worker keeps on disk so that it is the same one after a restart: its rank and its leases.
//!
//! The folder `<state_dir>/<worker_id>` is locked for as long as the worker is announced, so that
//! two processes of one host are never the same worker.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hearth_api::{Rank, WorkerId};
use serde::{Deserialize, Serialize};

use super::Error;
use super::lock::Lock;
use hearth_base::files::{self, KeptFile};

const LOCK_FILE: &str = "lock";
const STATE_FILE: &str = "registry.json";
/// Leases are remembered until they are known to be gone; any older ones have expired.
const MAX_LEASES: usize = 16;
/// How long a registration waits for the disk: the shortest lease must not run out meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);

/// A worker's folder.
#[derive(Debug, Clone)]
pub(super) struct StateFolder {
    path: PathBuf,
    worker_id: WorkerId,
}

/// A worker's locked folder, and what it remembers.
#[derive(Debug)]
pub(super) struct State {
    memory: Memory,
    file: KeptFile,
    /// Whether the file holds the memory, as far as is known.
    written: bool,
    _lock: Lock,
}

/// What is remembered, for one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// The registry that it is about.
    target: String,
    rank: Option<Rank>,
    /// Leases that may still hold this worker's keys, newest last.
    #[serde(default)]
    leases: Vec<i64>,
}

impl StateFolder {
    /// Makes the folder of a worker.
    pub(super) fn make(state_dir: &Path, worker_id: &WorkerId) -> Result<Self, Error> {
        let path = state_dir.join(worker_id.as_str());
        match files::private_folder(&path) {
            Ok(()) => Ok(Self { path, worker_id: worker_id.clone() }),
            Err(source) => Err(Error::State { path, source }),
        }
    }

    /// Locks the folder and reads what is remembered about the registry `target`.
    pub(super) async fn lock(self, target: &str) -> Result<State, Error> {
        let (path, target) = (self.path.clone(), target.to_owned());
        let locked = files::run_blocking(move || self.lock_now(target)).await;
        locked.unwrap_or_else(|source| Err(Error::State { path, source }))
    }

    fn lock_now(self, target: String) -> Result<State, Error> {
        let lock_path = self.path.join(LOCK_FILE);
        let unusable = |path: &Path, source| Error::State { path: path.to_owned(), source };
        let lock = Lock::take(&lock_path).map_err(|e| unusable(&lock_path, e))?;
        let Some(lock) = lock else {
            return Err(Error::StateInUse { worker_id: self.worker_id, path: self.path });
        };
        let path = self.path.join(STATE_FILE);
        let memory = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Memory::default(),
            Err(error) => return Err(unusable(&path, error)),
        };
        // What was remembered about another registry means nothing in this one.
        let known = memory.target == target;
        let memory = if known { memory } else { Memory { target, ..Memory::default() } };
        Ok(State { memory, file: KeptFile::new(path, PATIENCE), written: known, _lock: lock })
    }
}

impl State {
    /// The rank that the worker had last.
    pub(super) fn rank(&self) -> Option<Rank> {
        self.memory.rank
    }

    /// Leases that may still hold this worker's keys.
    pub(super) fn leases(&self) -> &[i64] {
        &self.memory.leases
    }

    /// Remembers the rank.
    pub(super) async fn remember_rank(&mut self, rank: Rank) {
        self.change(|memory| memory.rank = Some(rank)).await;
    }

    /// Remembers a lease, before anything is put under it.
    pub(super) async fn remember_lease(&mut self, lease: i64) {
        let remember = |memory: &mut Memory| {
            memory.leases.retain(|known| *known != lease);
            memory.leases.push(lease);
            let excess = memory.leases.len().saturating_sub(MAX_LEASES);
            memory.leases.drain(..excess);
        };
        self.change(remember).await;
    }

    /// Forgets a lease that is gone.
    pub(super) async fn forget_lease(&mut self, lease: i64) {
        self.change(|memory| memory.leases.retain(|known| *known != lease)).await;
    }

    /// A disk that is full, or does not answer, must not keep a worker from serving: without its
    /// memory a restarted one waits for its old lease to expire, no more.
    async fn change(&mut self, change: impl FnOnce(&mut Memory)) {
        let before = self.memory.clone();
        change(&mut self.memory);
        if before == self.memory && self.written {
            return;
        }
        self.written = false;
        let written = match serde_json::to_vec(&self.memory) {
            Ok(json) => self.file.set(Some(json)).await,
            Err(error) => Err(io::Error::other(error)),
        };
        self.written = written.is_ok();
        if let Err(error) = written {
            let path = self.file.path().display();
            tracing::warn!("{path} can't be written ({error}): a restart may take a lease's time");
        }
    }
}
