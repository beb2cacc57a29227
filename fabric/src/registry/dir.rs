//! A registry for one host, with nothing installed: files in a runtime directory.
//!
//! `workers/<id>.json` is a worker's record, alive while the lock on `workers/<id>.lock` is held;
//! `ranks/<n>.lock` is held by the worker that has rank n, `owners/<name>.lock` by the engine of that
//! name. The kernel lets go of a lock when its
//! holder dies, so a crashed worker is gone at once and nothing has to expire. Lock files stay:
//! removing one while another process opens it would leave two holders.
//!
//! The folder may be on a network and hang: all that touches it runs apart, one piece of work at a
//! time for each task here.

mod announce;
mod observe;
mod owner;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hearth_api::{OwnerId, Rank, WorkerId};
use hearth_protocol::record::WorkerRecord;

use super::state::StateFolder;
use super::{Announcement, Error, Observation, OwnerClaim, OwnerWatch, RankWish, Registry};

/// How long the folder may take before people are told that it does not answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A registry in a directory.
pub(super) struct Dir(Arc<Layout>);

/// Where the files are.
#[derive(Debug)]
struct Layout {
    root: PathBuf,
}

impl Dir {
    pub(super) fn open(root: &Path) -> Self {
        Self(Arc::new(Layout { root: root.to_owned() }))
    }
}

impl Registry for Dir {
    fn target(&self) -> String {
        self.0.target()
    }

    fn announce(
        &self,
        record: WorkerRecord,
        wish: RankWish,
        state_dir: &Path,
    ) -> Result<Announcement, Error> {
        super::encode(&record)?;
        let folder = StateFolder::make(state_dir, &record.worker_id)?;
        let layout = Arc::clone(&self.0);
        Ok(Announcement::spawn(record, |desk| announce::keep(layout, folder, wish, desk)))
    }

    fn observe(&self) -> Result<Observation, Error> {
        let layout = Arc::clone(&self.0);
        Ok(Observation::spawn(|publisher, cancel| observe::follow(layout, publisher, cancel)))
    }

    fn own(&self, owner: &OwnerId) -> OwnerClaim {
        let layout = Arc::clone(&self.0);
        OwnerClaim::spawn(owner, |holder| owner::keep(layout, holder))
    }

    fn watch_owner(&self, owner: &OwnerId) -> OwnerWatch {
        let (layout, owner) = (Arc::clone(&self.0), owner.clone());
        OwnerWatch::spawn(|state, cancel| owner::follow(layout, owner, state, cancel))
    }
}

impl Layout {
    fn target(&self) -> String {
        format!("dir:{}", self.root.display())
    }

    fn silent(&self) -> Error {
        Error::Silent { path: self.root.clone() }
    }

    fn workers(&self) -> PathBuf {
        self.root.join("workers")
    }

    fn ranks(&self) -> PathBuf {
        self.root.join("ranks")
    }

    fn owners(&self) -> PathBuf {
        self.root.join("owners")
    }

    fn owner(&self, owner: &OwnerId) -> PathBuf {
        self.owners().join(format!("{owner}.lock"))
    }

    fn record(&self, id: &WorkerId) -> PathBuf {
        self.workers().join(format!("{id}.json"))
    }

    fn lock(&self, id: &WorkerId) -> PathBuf {
        self.workers().join(format!("{id}.lock"))
    }

    fn rank(&self, rank: Rank) -> PathBuf {
        self.ranks().join(format!("{rank}.lock"))
    }
}

/// Waits for work on the registry's files; `tell` is called where they don't answer for a while.
async fn answered<T>(work: impl Future<Output = T>, tell: impl FnOnce()) -> T {
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
fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
