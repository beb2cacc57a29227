//! What the fleet is told, and what it asks for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hearth_api::{Incarnation, Rank, WorkerId};
use hearth_fabric::identity::Validity;
use hearth_protocol::message::Load;
use hearth_protocol::record::{Capacity, ModelRecord, Suspect, WorkerRecord, WorkerState};

/// Whom a connection is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The worker of a record.
    Worker(WorkerId),
    /// Whoever is at an address.
    Endpoint(SocketAddr),
}

/// What the registry says.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// The records.
    pub workers: &'a BTreeMap<WorkerId, Arc<WorkerRecord>>,
    /// Addresses without a record.
    pub endpoints: &'a [SocketAddr],
    /// Whether a full list was received at least once.
    pub synced: bool,
    /// Since when the registry has not answered.
    pub stale_since: Option<Instant>,
    /// Why the listing is stale or empty.
    pub error: Option<&'a str>,
    /// Whether the error may pass by itself.
    pub unreachable: bool,
}

/// What a worker says of itself when a connection is made.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// Its name.
    pub worker: WorkerId,
    /// Its rank, where it has one.
    pub rank: Option<Rank>,
    /// Its run.
    pub incarnation: Incarnation,
    /// Program and version.
    pub agent: String,
    /// How much it has to do, where it says so.
    pub load: Option<Load>,
    /// When it said so.
    pub at: Instant,
    /// From when until when the certificate that it has shown is valid.
    pub certificate: Option<Validity>,
}

/// What a worker says of itself when it is asked, if there is no record that says it.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its rank, where it has one.
    pub rank: Option<Rank>,
    /// What it does.
    pub state: WorkerState,
    /// What it serves.
    pub models: Vec<ModelRecord>,
    /// How much it takes on at once.
    pub capacity: Capacity,
    /// Start of its run, seconds since 1970 (UTC).
    pub started_at: u64,
    /// The requests that it knows workers were lost to.
    pub suspects: Vec<Suspect>,
}

/// Where a connection should lead, and whether it should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where the worker may be, best first.
    pub addresses: Vec<SocketAddr>,
    /// Its certificate's SHA-256, where that is known.
    pub fingerprint: Option<String>,
    /// The run that the registry knows.
    pub incarnation: Option<Incarnation>,
    /// Whether the registry still lists it; if not, a lost connection is not re-established.
    pub listed: bool,
    /// Whether the registry has not answered lately.
    pub stale: bool,
}

/// The state of a worker's process, reported by the executor that owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It was started; its connection shows whether it answers.
    Started,
    /// It has ended, and is started again soon.
    Down {
        /// Why.
        reason: String,
    },
    /// It has ended and is not started again.
    Failed {
        /// Why.
        reason: String,
    },
}
