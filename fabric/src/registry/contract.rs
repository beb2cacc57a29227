//! What each kind of registry does for workers, and for those who look for them.

use std::path::Path;

use hearth_api::{OwnerId, Rank};
use hearth_protocol::record::WorkerRecord;

use super::{Announcement, Error, Observation, OwnerClaim, OwnerWatch};

/// Which rank a worker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankWish {
    /// The one it had before if it is free, else the lowest free one.
    Auto,
    /// This one and no other.
    Fixed(Rank),
}

/// A place where workers announce themselves.
pub trait Registry: Send + Sync {
    /// Short text for people, e.g. `etcd://127.0.0.1:2379/default`.
    fn target(&self) -> String;

    /// Keeps `record` announced until the announcement is withdrawn or dropped. Returns at once:
    /// the registration happens, and is repeated, in the background.
    ///
    /// The record's rank is overwritten by the one that is claimed. `state_dir` keeps, in a folder
    /// named after the worker, what a restarted worker needs to keep its identity; the folder
    /// is locked while the announcement lives.
    ///
    /// # Errors
    /// [`Error::Group`], [`Error::RecordTooLarge`] and [`Error::State`]. Everything else is
    /// reported in the announcement's status.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn announce(
        &self,
        record: WorkerRecord,
        wish: RankWish,
        state_dir: &Path,
    ) -> Result<Announcement, Error>;

    /// The group's workers, kept up to date in the background until the observation is dropped.
    ///
    /// # Errors
    /// What waiting can't mend; everything else is reported in the view.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn observe(&self) -> Result<Observation, Error>;

    /// Holds the name of an owner until the claim is withdrawn or dropped. Returns at once: the
    /// name is taken, and taken again, in the background. `static` can't hold names: its workers
    /// know their owner by its connection alone.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn own(&self, owner: &OwnerId) -> OwnerClaim;

    /// Whether the name of an owner is held, followed until the watch is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn watch_owner(&self, owner: &OwnerId) -> OwnerWatch;
}
