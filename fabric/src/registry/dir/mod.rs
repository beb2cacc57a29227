//! A registry for one host, with nothing installed: files in a runtime directory.
//!
//! `workers/<id>.json` is a worker's record, alive while the lock on `workers/<id>.lock` is held;
//! `ranks/<n>.lock` is held by the worker that has rank n, `owners/<name>.lock` by the engine of
//! that name. The kernel releases a lock when its holder dies, so a crashed worker is gone at once
//! and nothing has to expire. Lock files stay: removing one while another process opens it would
//! leave two holders.
//!
//! The folder may be on a network and hang: everything that touches it runs on blocking threads,
//! one operation at a time for each task here.

mod announce;
mod layout;
mod observe;
mod owner;

use std::path::Path;
use std::sync::Arc;

use hearth_api::OwnerId;
use hearth_protocol::record::WorkerRecord;

use super::record;
use super::state::StateFolder;
use super::{Announcement, Error, Observation, OwnerClaim, OwnerWatch, RankWish, Registry};

use layout::Layout;

/// A registry in a directory.
pub(super) struct Dir(Arc<Layout>);

impl Dir {
    pub(super) fn open(root: &Path) -> Self {
        Self(Arc::new(Layout::new(root)))
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
        record::encode(&record)?;
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
