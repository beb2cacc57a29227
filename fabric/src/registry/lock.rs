//! Lock files: held by one process at a time, and released by the kernel when the holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long taking a lock is retried: observers hold it for an instant, and a holder that was just
/// ended may need a moment.
const PATIENCE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(20);

/// An exclusive lock on a file, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock if nobody has it; makes the file if it is not there.
    pub(super) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Takes the lock, trying for about a second; the thread waits.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let taken = Self::try_take(path)?;
            if taken.is_some() || Instant::now() >= end {
                return Ok(taken);
            }
            std::thread::sleep(RETRY);
        }
    }

    /// The locked file.
    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// Whether the locked file is still the one at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let Ok(own) = self.0.metadata() else { return false };
        let there = std::fs::symlink_metadata(path);
        there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()))
    }
}

/// Whether some process holds the lock.
pub(super) fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
