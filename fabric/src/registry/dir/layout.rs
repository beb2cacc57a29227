//! Where a registry's files are in its directory, and how long they may take to answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hearth_api::{OwnerId, Rank, WorkerId};

use crate::registry::Error;

/// How long the folder may take before people are told that it does not answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Where the files are.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn target(&self) -> String {
        format!("dir:{}", self.root.display())
    }

    pub(super) fn silent(&self) -> Error {
        Error::Silent { path: self.root.clone() }
    }

    pub(super) fn workers(&self) -> PathBuf {
        self.root.join("workers")
    }

    pub(super) fn ranks(&self) -> PathBuf {
        self.root.join("ranks")
    }

    pub(super) fn owners(&self) -> PathBuf {
        self.root.join("owners")
    }

    pub(super) fn owner(&self, owner: &OwnerId) -> PathBuf {
        self.owners().join(format!("{owner}.lock"))
    }

    pub(super) fn record(&self, id: &WorkerId) -> PathBuf {
        self.workers().join(format!("{id}.json"))
    }

    pub(super) fn lock(&self, id: &WorkerId) -> PathBuf {
        self.workers().join(format!("{id}.lock"))
    }

    pub(super) fn rank(&self, rank: Rank) -> PathBuf {
        self.ranks().join(format!("{rank}.lock"))
    }
}

/// Waits for work on the registry's files; calls `tell` if they don't answer for a while.
pub(super) async fn answered<T>(work: impl Future<Output = T>, tell: impl FnOnce()) -> T {
    let mut work = std::pin::pin!(work);
    match tokio::time::timeout(ANSWER, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            tell();
            work.await
        }
    }
}

/// A file of the registry could not be used.
pub(super) fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
