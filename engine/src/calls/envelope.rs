//! What a call returns: one answer per worker.

use std::time::Duration;

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, Rank, WorkerId};
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::Health;
use serde::de::DeserializeOwned;

use crate::executor::CallReply;
use crate::fleet::WorkerView;

/// One worker's answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Envelope<T = serde_json::Value> {
    /// The worker.
    pub worker: WorkerId,
    /// Its rank.
    pub rank: Option<Rank>,
    /// The method's value, or why there is none.
    pub outcome: Result<T, CallError>,
    /// Bulk parts of the answer.
    pub attachments: Vec<(Attachment, Bytes)>,
    /// How long it took.
    pub elapsed: Duration,
}

/// One worker's answer as it was sent: the value is a MessagePack map.
pub type RawEnvelope = Envelope<Bytes>;

/// One worker's health.
pub type WorkerHealth = Envelope<Health>;

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

    /// The same with the value as a type, JSON for one; what does not decode is `protocol`.
    #[must_use]
    pub fn decode<T: DeserializeOwned>(self) -> Envelope<T> {
        let Self { worker, rank, outcome, attachments, elapsed } = self;
        let outcome = outcome.and_then(|value| {
            codec::decode(&value).map_err(|error| {
                CallError::new(ErrorKind::Protocol, "the value is not what the method gives")
                    .caused_by(&error)
                    .at(&worker, rank)
            })
        });
        Envelope { worker, rank, outcome, attachments, elapsed }
    }
}
