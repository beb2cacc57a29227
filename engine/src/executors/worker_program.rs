//! The worker program of this host, and how workers share its cores.

use std::path::{Path, PathBuf};

/// The worker program, where the config names none.
pub(super) const WORKER: &str = "hearth-worker";

/// The worker program that was installed with this one, else the one on PATH.
pub(super) fn worker_program() -> PathBuf {
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent).map(|folder| folder.join(WORKER));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(WORKER))
}

/// Compute threads of each of `count` workers that share this host.
pub(super) fn share_of_cores(count: u32) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / count.max(1) as usize).max(1)
}
