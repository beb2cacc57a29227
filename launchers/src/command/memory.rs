//! What is kept of a replica on this host: what its launch called it, and how it ended.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::{now_ms, read_json, write_json};
use crate::{Error, Replica};

/// Written by its launch alone, so that nothing else that is kept is lost over it.
const HANDLE: &str = "handle.json";
const FILE: &str = "command.json";

/// What is known of one replica.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// Somebody asked for its end.
    pub(super) cancelled: bool,
    /// How it ended, and when that was seen first, in milliseconds since 1970.
    pub(super) end: Option<Replica>,
    pub(super) ended_at_ms: Option<u64>,
    /// Whether its result is here, or it has none.
    pub(super) collected: bool,
}

impl Memory {
    pub(super) fn load(folder: &Path) -> Result<Self, Error> {
        Ok(read_json(&folder.join(FILE))?.unwrap_or_default())
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join(FILE), self)
    }

    /// The same with an end that is seen now.
    pub(super) fn with_end(self, end: Replica) -> Self {
        Self { end: Some(end), ended_at_ms: Some(now_ms()), ..self }
    }
}

/// What the launch called the replica of this folder; null where that is not known.
pub(super) fn handle(folder: &Path) -> Result<Value, Error> {
    Ok(read_json(&folder.join(HANDLE))?.unwrap_or_default())
}

/// Keeps what the launch called the replica of this folder.
pub(super) fn save_handle(folder: &Path, handle: &Value) -> Result<(), Error> {
    write_json(&folder.join(HANDLE), handle)
}
