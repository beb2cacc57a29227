//! The file that says what is being computed, and what earlier runs were lost to.
//!
//! A thread of its own writes it, each time as a whole: neither the network nor compute waits for
//! the disk, but that compute gives the thread a moment before it begins with an item. The file is
//! to survive the process and not the machine, so nothing waits for the disk's own word.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hearth_api::{CallError, Incarnation, RequestId, limits};
use hearth_base::files;
use hearth_protocol::record::Suspect;
use serde::{Deserialize, Serialize};

use super::book::Book;
use crate::items::ItemId;

/// How long an item waits to be written down before it is computed. A disk that doesn't answer must
/// not keep it.
const MOMENT: Duration = Duration::from_millis(100);

/// Largest file that is read, in bytes: far more than is ever written.
const LARGEST: u64 = 1 << 20;

pub(crate) struct Journal {
    path: PathBuf,
    run: Incarnation,
    state: Mutex<State>,
    /// Something is to be written, or was.
    changed: Condvar,
}

struct State {
    book: Book,
    /// The requests that are computed, by item.
    computing: BTreeMap<ItemId, Computation>,
    /// Changes, and how many of them the file has.
    changes: u64,
    written: u64,
    is_closed: bool,
}

/// A request that is computed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Computation {
    request: RequestId,
    /// The runs that were lost to it before, as its caller says.
    lost: Vec<Incarnation>,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Page {
    /// Whose page it is.
    run: Incarnation,
    computing: Vec<Computation>,
    suspects: Book,
}

impl Journal {
    /// Reads what the last run has left at `path`: what it was computing when it ended, it was lost
    /// to. A file that can't be read is as good as none.
    pub(crate) fn open(path: PathBuf, run: Incarnation) -> Arc<Self> {
        let mut book = Book::default();
        let now = seconds();
        match read(&path) {
            Ok(None) => {}
            Ok(Some(page)) => {
                book = page.suspects;
                for Computation { request, lost } in page.computing {
                    tracing::warn!(%request, "the last run ended while it computed this request");
                    book.add(request, lost.into_iter().chain([page.run]), now);
                }
            }
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "what the last run was lost to is not known");
            }
        }
        book.forget(now);
        let (computing, changes) = (BTreeMap::new(), 1);
        let state = State { book, computing, changes, written: 0, is_closed: false };
        Arc::new(Self { path, run, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.changes += 1;
        self.changed.notify_all();
    }

    /// An item is about to be computed; `lost` names the runs that its caller knows to be lost.
    pub(crate) fn begin(&self, item: ItemId, request: RequestId, lost: &[Incarnation]) {
        let lost = lost.iter().copied().take(limits::LOST_WORKERS).collect();
        self.change(|state| {
            state.computing.insert(item, Computation { request, lost });
        });
    }

    /// An item has ended, if it was computed.
    pub(crate) fn end(&self, item: ItemId) {
        if self.state().computing.contains_key(&item) {
            self.change(|state| drop(state.computing.remove(&item)));
        }
    }

    /// This run is lost to all that is being computed: it hangs.
    pub(crate) fn condemn(&self) {
        let now = seconds();
        self.change(|state| {
            for (_, Computation { request, lost }) in std::mem::take(&mut state.computing) {
                state.book.add(request, lost.into_iter().chain([self.run]), now);
            }
        });
    }

    /// Forgets what is old; says whether anything was.
    pub(crate) fn forget(&self) -> bool {
        let now = seconds();
        let forgotten = self.state().book.forget(now);
        if forgotten {
            self.change(|_| ());
        }
        forgotten
    }

    /// Fails for a request that too many workers were lost to, `told` of them as its caller knows.
    ///
    /// # Errors
    /// `quarantined`.
    pub(crate) fn check(&self, request: &RequestId, told: &[Incarnation]) -> Result<(), CallError> {
        self.state().book.check(request, told)
    }

    /// The requests that runs were lost to.
    pub(crate) fn suspects(&self) -> Vec<Suspect> {
        self.state().book.suspects()
    }

    /// Waits a moment until all is written.
    pub(crate) fn wait_until_written(&self) {
        let state = self.state();
        let wanted = state.changes;
        let open = |state: &mut State| state.written < wanted && !state.is_closed;
        let waited = self.changed.wait_timeout_while(state, MOMENT, open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes each change until the journal is closed.
    pub(crate) fn run(&self) {
        let mut fails = false;
        while let Some((changes, page)) = self.next() {
            let written = write(&self.path, &page);
            if let Err(error) = &written
                && !fails
            {
                let path = self.path.display();
                tracing::warn!(%path, %error, "what is computed can't be written down");
            }
            fails = written.is_err();
            self.state().written = changes;
            self.changed.notify_all();
        }
    }

    /// The next page, with the number of its last change; none once the journal is closed and all is
    /// written.
    fn next(&self) -> Option<(u64, Page)> {
        let idle = |state: &mut State| state.written == state.changes && !state.is_closed;
        let waited = self.changed.wait_while(self.state(), idle);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.written == state.changes {
            return None;
        }
        let computing = state.computing.values().cloned().collect();
        let page = Page { run: self.run, computing, suspects: state.book.clone() };
        Some((state.changes, page))
    }

    /// Nothing is computed any more.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }
}

fn read(path: &Path) -> io::Result<Option<Page>> {
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has {length} bytes")));
    }
    Ok(Some(serde_json::from_slice(&std::fs::read(path)?)?))
}

fn write(path: &Path, page: &Page) -> io::Result<()> {
    files::replace_at_once(path, &serde_json::to_vec(page)?, 0o600)
}

/// Seconds since 1970 (UTC): the time must mean the same to the next run.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u128) -> Incarnation {
        Incarnation::from_bits(number)
    }

    /// A journal, and its thread until `work` is done with it.
    fn with_journal<T>(path: &Path, number: u128, work: impl FnOnce(&Journal) -> T) -> T {
        let journal = Journal::open(path.to_owned(), run(number));
        std::thread::scope(|scope| {
            scope.spawn(|| journal.run());
            let done = work(&journal);
            journal.wait_until_written();
            journal.close();
            done
        })
    }

    #[test]
    fn what_a_run_computed_when_it_ended_is_known_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("computing");
        let id = |name: &str| name.parse::<RequestId>().unwrap();
        with_journal(&path, 1, |journal| {
            assert!(journal.suspects().is_empty());
            journal.begin(ItemId(0), id("done"), &[]);
            journal.begin(ItemId(1), id("open"), &[run(9)]);
            journal.begin(ItemId(2), id("done"), &[]);
            for item in [0, 2, 7] {
                journal.end(ItemId(item));
            }
        });
        // The third learns it from the second, which computed nothing.
        for number in [2, 3] {
            with_journal(&path, number, |journal| {
                let runs = vec![run(9), run(1)];
                assert_eq!(journal.suspects(), [Suspect { request_id: id("open"), runs }]);
                assert!(journal.check(&id("open"), &[]).is_err());
                assert!(journal.check(&id("done"), &[]).is_ok());
            });
        }
        with_journal(&path, 4, |journal| {
            journal.begin(ItemId(0), id("hangs"), &[]);
            journal.condemn();
            assert!(journal.check(&id("hangs"), &[run(5)]).is_err());
        });
        with_journal(&path, 5, |journal| assert_eq!(journal.suspects().len(), 2));
    }

    #[test]
    fn a_file_or_a_disk_that_is_of_no_use_keeps_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("computing");
        for content in [&b"{"[..], b"", b"[]", &[b' '; (LARGEST + 1) as usize]] {
            std::fs::write(&path, content).unwrap();
            with_journal(&path, 1, |journal| assert!(journal.suspects().is_empty()));
        }
        let gone = folder.path().join("gone").join("computing");
        let item = ItemId(0);
        with_journal(&gone, 1, |journal| journal.begin(item, "r".parse().unwrap(), &[]));
        assert!(!gone.exists());
    }
}
