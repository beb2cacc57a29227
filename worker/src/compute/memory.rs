//! Giving memory back, and saying how much it was.

use std::fs::File;
use std::path::Path;

use hearth_telemetry::procinfo::Process;
use rustix::fs::{Advice, fadvise};

use super::plan::FreedMemory;

/// Folders beneath a model's that are looked into.
const DEPTH: u32 = 8;

/// Drops what `drop` drops, and says what that gave back.
pub(super) fn freed(process: &Process, device: u64, drop: impl FnOnce()) -> FreedMemory {
    // A kernel that does not tell leaves zeros; nothing depends on them.
    let resident = || process.usage().map_or(0, |usage| usage.rss_bytes);
    let before = resident();
    drop();
    FreedMemory { resident: before.saturating_sub(resident()), device }
}

/// Tells the system that a model's files need not stay in its cache.
pub(super) fn uncache(folder: &Path) {
    if let Err(error) = uncache_in(folder, DEPTH) {
        tracing::warn!(%error, folder = %folder.display(), "its files stay in the system's cache");
    }
}

fn uncache_in(folder: &Path, depth: u32) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if depth > 0 {
                uncache_in(&path, depth - 1)?;
            }
        } else {
            fadvise(&File::open(&path)?, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
