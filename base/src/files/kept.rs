//! A small file that follows a value, on a disk that may be slow, full or gone for a while.
//!
//! Whoever changes the value waits for the file no longer than it wants to. One write is under way at a
//! time; it ends with the newest value, so that a disk that answers again is soon right.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// A file that follows a value.
#[derive(Debug)]
pub struct KeptFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    write: Write,
    patience: Duration,
    wanted: Mutex<Content>,
    /// Whoever writes has it.
    turn: Arc<Semaphore>,
}

/// Makes a file hold this, or be gone.
type Write = fn(&Path, Option<&[u8]>) -> io::Result<()>;

/// What the file is to hold, none for no file, and how often that was changed.
#[derive(Debug, Clone, Default)]
struct Content {
    content: Option<Vec<u8>>,
    change: u64,
}

impl KeptFile {
    /// A file at `path` that this user alone can read. Nothing is written yet. A change waits for
    /// the file as long as `patience`.
    #[must_use]
    pub fn new(path: PathBuf, patience: Duration) -> Self {
        Self::written_by(path, write, patience)
    }

    fn written_by(path: PathBuf, write: Write, patience: Duration) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        Self(Arc::new(Inner { path, write, patience, wanted: Mutex::default(), turn }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Replaces the file by `content`, or removes it for none.
    ///
    /// # Errors
    /// It can't be written; or the disk does not answer, and the file follows once it does.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn set(&self, content: Option<Vec<u8>>) -> io::Result<()> {
        self.0.want(content);
        let kept = Arc::clone(&self.0);
        let written = async {
            let turn = Arc::clone(&kept.turn).acquire_owned().await.map_err(io::Error::other)?;
            // The turn goes with the work, which a caller that leaves does not end.
            let work = move || {
                let written = kept.follow();
                drop(turn);
                written
            };
            super::run_blocking(work).await?
        };
        let silent = |_| io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
        tokio::time::timeout(self.0.patience, written).await.map_err(silent)?
    }
}

impl Inner {
    fn want(&self, content: Option<Vec<u8>>) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.content = content;
        wanted.change += 1;
    }

    fn wanted(&self) -> Content {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes until the file is what is wanted.
    fn follow(&self) -> io::Result<()> {
        loop {
            let Content { content, change } = self.wanted();
            let written = (self.write)(&self.path, content.as_deref());
            if self.wanted().change == change {
                return written;
            }
        }
    }
}

fn write(path: &Path, content: Option<&[u8]>) -> io::Result<()> {
    match content {
        Some(content) => super::replace(path, content, 0o600),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_file_is_what_was_set_last() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptFile::new(folder.path().join("file"), LONG);
        kept.set(None).await.unwrap();
        kept.set(Some(b"one".to_vec())).await.unwrap();
        kept.set(Some(b"two".to_vec())).await.unwrap();
        assert_eq!(fs::read(kept.path()).unwrap(), b"two");
        kept.set(None).await.unwrap();
        assert!(!kept.path().exists());
    }

    #[tokio::test]
    async fn a_file_that_can_t_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptFile::new(folder.path().join("gone").join("file"), LONG);
        let error = kept.set(Some(Vec::new())).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// Hangs while the file's reader is not there, as a disk that went away does.
    fn hang(path: &Path, content: Option<&[u8]>) -> io::Result<()> {
        let gate = path.with_extension("gate");
        if gate.exists() {
            fs::OpenOptions::new().write(true).open(&gate).map(drop)?;
        }
        write(path, content)
    }

    // One thread, as the worker's network has.
    #[tokio::test]
    async fn a_disk_that_hangs_keeps_nobody_and_has_the_newest_at_last() {
        let folder = tempfile::tempdir().unwrap();
        let gate = folder.path().join("file.gate");
        assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
        let patience = Duration::from_millis(50);
        let kept = KeptFile::written_by(folder.path().join("file"), hang, patience);
        for content in [Some(b"old".to_vec()), None, Some(b"new".to_vec())] {
            let error = kept.set(content).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        // The disk is back.
        let _reader = fs::OpenOptions::new().read(true).write(true).open(&gate).unwrap();
        let right = async {
            while !fs::read(kept.path()).is_ok_and(|content| content == b"new") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), right).await.unwrap();
    }
}
