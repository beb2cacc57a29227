//! Where a replica is, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted, and not started yet.
    Pending,
    /// Its program runs.
    Running,
    /// Its program ended with status 0.
    Succeeded,
    /// Its program could not be started, ended with another status, was killed, or ran out of time.
    Failed,
    /// It was ended because somebody asked for it.
    Cancelled,
}

impl Status {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A replica as its launcher sees it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Its rank, from 0.
    pub rank: u32,
    /// Where it is.
    pub status: Status,
    /// Its program's process id, where it runs on this host.
    pub pid: Option<u32>,
    /// The host it runs on, where the launcher knows it.
    pub host: Option<String>,
    /// Its program's exit status, once it ended by itself.
    pub exit_code: Option<i32>,
    /// Why it failed: `killed by signal 9`, `out of memory`, `ran longer than 10m`.
    pub error: Option<String>,
}

impl Replica {
    /// One that has not started yet.
    #[must_use]
    pub fn pending(rank: u32) -> Self {
        Self { rank, status: Status::Pending, pid: None, host: None, exit_code: None, error: None }
    }
}

/// How a replica ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its rank, from 0.
    pub rank: u32,
    /// `succeeded`, `failed` or `cancelled`.
    pub status: Status,
    /// Its program's exit status, where it ended by itself.
    pub exit_code: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
    /// The JSON that it left in the file that `REPLICA_RESULT` names.
    pub result: Option<serde_json::Value>,
}
