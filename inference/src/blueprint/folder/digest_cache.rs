//! Digests of files that were read already: a model that wakes from its sleep is read once, not
//! twice.
//!
//! A file is the one that was read while its device, inode, length, modification time and change
//! time are. A program can set the modification time back, and never the change time.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::error::Error;
use crate::progress::Progress;

const CHUNK: usize = 1 << 20;
/// Most files that are remembered; a model has some tens.
const MOST: usize = 4096;
/// A file that was changed less long ago may change again with the same time.
const SETTLED: Duration = Duration::from_secs(2);

/// Digests by file, for those who load the same folder again. Clones remember together.
#[derive(Debug, Clone, Default)]
pub struct DigestCache(Arc<Mutex<HashMap<Stamp, String>>>);

/// What tells a file and its content from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl DigestCache {
    /// The SHA-256 of the file at `path`, in lowercase hexadecimal.
    pub(super) fn sha256(&self, path: &Path, progress: &Progress) -> Result<String, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let (stamp, began) = (Stamp::of(&file.metadata().map_err(io)?), SystemTime::now());
        if let Some(known) = self.known(&stamp) {
            progress.advance(stamp.length);
            return Ok(known);
        }
        let digest = read(&mut file, progress).map_err(io)?;
        if Stamp::of(&file.metadata().map_err(io)?) == stamp && stamp.is_settled(began) {
            self.remember(stamp, digest.clone());
        }
        Ok(digest)
    }

    fn known(&self, stamp: &Stamp) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(stamp).cloned()
    }

    fn remember(&self, stamp: Stamp, digest: String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One digest for a file: what it was before is of no use.
        known.retain(|other, _| other.file != stamp.file);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(stamp, digest);
    }
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            file: (file.dev(), file.ino()),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether a change from `now` on shows in the times.
    fn is_settled(&self, now: SystemTime) -> bool {
        let last = u64::try_from(self.modified.0.max(self.changed.0)).unwrap_or(u64::MAX);
        let since = UNIX_EPOCH + Duration::from_secs(last.min(1 << 40)) + Duration::from_secs(1);
        now.duration_since(since).is_ok_and(|passed| passed >= SETTLED)
    }
}

fn read(file: &mut File, progress: &Progress) -> std::io::Result<String> {
    let mut chunk = vec![0; CHUNK];
    let mut hash = Sha256::new();
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex::encode(hash.finalize())),
            length => {
                hash.update(&chunk[..length]);
                progress.advance(length as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> String {
        hex::encode(Sha256::digest(text))
    }

    #[test]
    fn a_file_is_read_again_when_anything_of_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let digested = DigestCache::default();
        let sha256 = || digested.sha256(&path, &Progress::default()).unwrap();
        assert_eq!(sha256(), digest("one"));
        // As if it had been read long after it was written.
        let stamp = || Stamp::of(&std::fs::metadata(&path).unwrap());
        digested.remember(stamp(), "remembered".to_owned());
        assert_eq!(sha256(), "remembered");

        // Another content of the same length, with the time of the first.
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(sha256(), digest("two"));

        // Another file in its place.
        digested.remember(stamp(), "remembered".to_owned());
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        std::fs::write(&path, "one").unwrap();
        assert_eq!(sha256(), digest("one"));
    }

    #[test]
    fn what_was_just_changed_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let stamp = Stamp::of(&std::fs::metadata(&path).unwrap());
        assert!(!stamp.is_settled(SystemTime::now()));
        assert!(stamp.is_settled(SystemTime::now() + Duration::from_secs(4)));
        let digested = DigestCache::default();
        digested.sha256(&path, &Progress::default()).unwrap();
        assert_eq!(digested.known(&stamp), None);
    }
}
