//! Turns: a test that starts whole programs waits until no other one does.
//!
//! The machine's cores are what they share, so the lock is the machine's: it holds between threads
//! of one test program, between programs, and between checkouts, whichever runner starts them.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Turns that this process has.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A test's turn; the next one's comes when it is dropped, or its process has ended.
#[derive(Debug)]
pub struct Turn {
    /// None inside a user manager: the process that waits outside has the turn.
    _lock: Option<File>,
}

impl Turn {
    /// Waits for it. To be held by a test from its first line, and once: a second one in the same
    /// test would wait for the first.
    ///
    /// # Panics
    /// When the lock's file can't be used.
    #[must_use]
    pub fn take() -> Self {
        let user = rustix::process::getuid().as_raw();
        let path = std::env::temp_dir().join(format!("hearth-tests-{user}.lock"));
        let file = File::options().create(true).append(true).open(&path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // The kernel lets go of it with the last descriptor, also where the process is killed.
        file.lock().unwrap();
        Self::count(Some(file))
    }

    /// Part of the turn of the process that waits for this one.
    pub(crate) fn share() -> Self {
        Self::count(None)
    }

    fn count(lock: Option<File>) -> Self {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        Self { _lock: lock }
    }

    /// Fails a test that starts programs out of turn.
    pub(crate) fn assert_taken() {
        let taken = TAKEN.load(Ordering::Relaxed) > 0;
        assert!(taken, "a test that starts programs takes a turn first: Turn::take()");
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}
