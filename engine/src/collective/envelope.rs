//! What a collective call returns: one answer per worker.

use std::time::Duration;

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, Rank, WorkerId};
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::Health;

use crate::executor::CallReply;
use crate::fleet::WorkerView;

/// One worker's answer.
#[derive(Debug)]
pub struct Envelope {
    /// The worker.
    pub worker: WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// The method's value, or why there is none.
    pub outcome: Result<serde_json::Value, CallError>,
    /// Bulk parts of the answer.
    pub attachments: Vec<(Attachment, Bytes)>,
    /// How long it took.
    pub elapsed: Duration,
}

/// One worker's answer as it was sent.
#[derive(Debug)]
pub struct RawEnvelope {
    /// The worker.
    pub worker: WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// The method's value, a MessagePack map, or why there is none.
    pub outcome: Result<Bytes, CallError>,
    /// Bulk parts of the answer.
    pub attachments: Vec<(Attachment, Bytes)>,
    /// How long it took.
    pub elapsed: Duration,
}

/// One worker's health.
#[derive(Debug)]
pub struct WorkerHealth {
    /// The worker.
    pub worker: WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// What it says of itself, or why it says nothing.
    pub outcome: Result<Health, CallError>,
    /// How long it took.
    pub elapsed: Duration,
}

impl WorkerHealth {
    /// Whether the worker answered, and takes requests.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|health| health.healthy)
    }
}

impl RawEnvelope {
    pub(super) fn new(
        worker: &WorkerView,
        answer: Result<CallReply, CallError>,
        elapsed: Duration,
    ) -> Self {
        let (outcome, attachments) = match answer {
            Ok(reply) => (reply.outcome, reply.attachments),
            Err(error) => (Err(error), Vec::new()),
        };
        let outcome = outcome.map_err(|error| error.at(&worker.id, worker.rank));
        Self { worker: worker.id.clone(), rank: worker.rank, outcome, attachments, elapsed }
    }
}

impl From<RawEnvelope> for Envelope {
    fn from(raw: RawEnvelope) -> Self {
        let RawEnvelope { worker, rank, outcome, attachments, elapsed } = raw;
        let outcome = outcome.and_then(|value| decode(&value, &worker, rank));
        Self { worker, rank, outcome, attachments, elapsed }
    }
}

impl From<RawEnvelope> for WorkerHealth {
    fn from(raw: RawEnvelope) -> Self {
        let RawEnvelope { worker, rank, outcome, elapsed, .. } = raw;
        let outcome = outcome.and_then(|value| decode(&value, &worker, rank));
        Self { worker, rank, outcome, elapsed }
    }
}

/// Reads a value that a worker sent.
fn decode<T: serde::de::DeserializeOwned>(
    value: &[u8],
    worker: &WorkerId,
    rank: Option<Rank>,
) -> Result<T, CallError> {
    codec::decode(value).map_err(|error| {
        CallError::new(ErrorKind::Protocol, "the value is not what the method gives")
            .caused_by(&error)
            .at(worker, rank)
    })
}
