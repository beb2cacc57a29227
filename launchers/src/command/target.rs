//! Replicas that are asked about, by their launches: a program is run once for all of one launch.

use std::path::PathBuf;

use serde_json::Value;

use super::config::NAME;
use super::memory;
use super::programs::Programs;
use super::request::Launch;
use crate::{Error, Handle, LaunchId, LaunchRecord, StateDir};

/// Replicas of one launch.
#[derive(Debug, Clone)]
pub(super) struct LaunchTargets {
    pub(super) record: LaunchRecord,
    pub(super) programs: Programs,
    pub(super) targets: Vec<Target>,
}

/// A replica.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) handle: Handle,
    /// What its launch called it; null where that is not known.
    pub(super) native: Value,
    /// Its folder on this host.
    pub(super) folder: PathBuf,
}

impl LaunchTargets {
    /// Those of these handles.
    pub(super) fn of(state: &StateDir, handles: &[Handle]) -> Result<Vec<Self>, Error> {
        let records = state.launches_of(NAME, handles)?;
        let launch = |record: LaunchRecord| {
            let own = handles.iter().filter(|handle| handle.launch == record.id);
            let targets = own.map(|handle| Target::of(state, handle)).collect::<Result<_, _>>()?;
            Ok(Self { programs: Programs::load(state, &record.id)?, record, targets })
        };
        records.into_values().map(launch).collect()
    }

    /// The same with some of its replicas alone.
    pub(super) fn with(&self, targets: Vec<Target>) -> Self {
        Self { record: self.record.clone(), programs: self.programs.clone(), targets }
    }

    pub(super) fn id(&self) -> &LaunchId {
        &self.record.id
    }

    /// What requests of this launch are made of.
    pub(super) fn request<'a>(&'a self, state: &'a StateDir) -> Launch<'a> {
        Launch { record: &self.record, programs: &self.programs, state }
    }

    /// The replicas as requests name them.
    pub(super) fn named(&self) -> Vec<(u32, Value)> {
        self.targets.iter().map(Target::named).collect()
    }
}

impl Target {
    fn of(state: &StateDir, handle: &Handle) -> Result<Self, Error> {
        let folder = state.replica_folder(&handle.launch, handle.rank);
        Ok(Self { handle: handle.clone(), native: memory::handle(&folder)?, folder })
    }

    /// It as requests name it.
    pub(super) fn named(&self) -> (u32, Value) {
        (self.handle.rank, self.native.clone())
    }
}
