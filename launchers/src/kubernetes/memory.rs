//! What is saved about a replica on this host: pods and Jobs vanish, and how they ended with them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::status::Snapshot;
use crate::state::{read_json, write_json};
use crate::{Error, Handle, Outcome, Replica, StateDir};

const FILE: &str = "kubernetes.json";

/// What is known of one replica.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// Somebody asked for its end.
    pub(super) cancelled: bool,
    /// The node it ran on.
    pub(super) host: Option<String>,
    /// How it ended.
    pub(super) outcome: Option<Outcome>,
    /// When that was seen first, in milliseconds since 1970.
    pub(super) ended_at_ms: Option<u64>,
}

impl Memory {
    pub(super) fn load(state: &StateDir, handle: &Handle) -> Result<Self, Error> {
        Self::of(&state.replica_folder(&handle.launch, handle.rank))
    }

    pub(super) fn of(folder: &Path) -> Result<Self, Error> {
        Ok(read_json(&folder.join(FILE))?.unwrap_or_default())
    }

    pub(super) fn save(&self, state: &StateDir, handle: &Handle) -> Result<(), Error> {
        write_json(&state.replica_folder(&handle.launch, handle.rank).join(FILE), self)
    }

    /// The replica's end, once it is known.
    pub(super) fn ended(&self) -> Option<Snapshot> {
        let outcome = self.outcome.clone()?;
        let replica = Replica {
            rank: outcome.rank,
            status: outcome.status,
            pid: None,
            host: self.host.clone(),
            exit_code: outcome.exit_code,
            error: outcome.error,
        };
        Some(Snapshot { replica, result: outcome.result })
    }
}
