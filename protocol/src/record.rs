//! What a worker announces in the registry: JSON that people read with `etcdctl`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::version::ProtocolRange;
use hearth_api::{Group, Incarnation, Rank, RequestId, WorkerId};

/// One worker's announcement, the value of `/hearth/v1/<group>/workers/<worker_id>`.
///
/// Unknown fields are skipped, so that a newer worker can say more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// The worker's stable name.
    pub worker_id: WorkerId,
    /// Its group.
    pub group: Group,
    /// Its position in the group.
    pub rank: Rank,
    /// The run of the worker that wrote this record.
    pub incarnation: Incarnation,
    /// Where it listens (UDP), best first.
    pub endpoints: Vec<SocketAddr>,
    /// `cpu` or `cuda:I`.
    pub device: String,
    /// What it can serve.
    pub models: Vec<ModelRecord>,
    /// How much it takes on.
    pub capacity: Capacity,
    /// Whether it takes requests.
    pub state: WorkerState,
    /// While models are being loaded: how much of their bytes is read, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The protocol versions it speaks.
    pub protocol: ProtocolRange,
    /// SHA-256 of its certificate (DER), hex.
    pub certificate: String,
    /// Start of this run, seconds since 1970 (UTC).
    pub started_at: u64,
    /// The worker program's version.
    pub version: String,
    /// The requests that earlier runs were lost to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
}

/// A request that runs of workers were lost to: they ended, or hung, while they computed it. It may
/// cost further workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// The request.
    pub request_id: RequestId,
    /// The runs that were lost, of any worker, as far as is known.
    pub runs: Vec<Incarnation>,
}

/// A model in a worker's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// The name that requests use.
    pub name: String,
    /// Other names for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Digest of the folder's content, `sha256:<hex>`.
    pub digest: String,
}

/// How many requests a worker takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Requests that run at once, each with steps of its own.
    pub slots: u32,
    /// Requests that may wait.
    pub queue: u32,
    /// Most requests that run in one slot, sharing their steps.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub batch: u32,
}

impl Capacity {
    /// Requests that run at once at most, where they can share their steps.
    #[must_use]
    pub fn places(self) -> u32 {
        self.slots.saturating_mul(self.batch.max(1))
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

/// Whether a worker takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Models are being loaded.
    Loading,
    /// Requests are welcome.
    Ready,
    /// Requests that run are finished, new ones are refused.
    Draining,
    /// Device memory is given back until `wake_up`.
    Sleeping,
    /// A run of a graph doesn't end. The worker takes nothing more, and ends. Minor 1 reads `unknown`,
    /// which takes no requests either.
    Unhealthy,
    /// A state of a newer version; takes no requests.
    #[serde(other)]
    Unknown,
}

impl std::fmt::Display for WorkerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Sleeping => "sleeping",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        })
    }
}
