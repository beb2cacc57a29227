//! A connection to one run of a worker, and the calls over it.
//!
//! Each call names the run that it is meant for, and a reply that names another is refused: after a
//! restart nothing of the earlier run is taken for the new one's.
//!
//! A worker whose address has changed is connected anew before the old connection is given up. The
//! calls that may be made twice are taken up again there, where the worker still has their items.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, Incarnation, Rank, RequestId, WorkerId};
use hearth_fabric::quic::{self, Call, Connection};
use hearth_protocol::codec;
use hearth_protocol::message::{Attachment, Reply, Request, Trailer};
use hearth_protocol::methods::Method;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::executor::{CallEvent, CallReply, CallStream, OutgoingCall};
use crate::fleet::Introduction;

/// A connection to a worker.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) worker: WorkerId,
    pub(super) rank: Option<Rank>,
    pub(super) incarnation: Incarnation,
    /// When the connection was made.
    since: Instant,
    /// Why this side has ended it, where it knows better than the transport.
    cause: OnceLock<String>,
    /// The connection to the same run that has taken its place.
    successor: OnceLock<Arc<Self>>,
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        let welcome = connection.welcome();
        let (worker, rank) = (welcome.worker_id.clone(), welcome.rank);
        let incarnation = welcome.incarnation;
        let (since, cause, successor) = (Instant::now(), OnceLock::new(), OnceLock::new());
        Self { connection, worker, rank, incarnation, since, cause, successor }
    }

    /// Another connection has taken this one's place: this one ends, and its calls go on there if it
    /// leads to the same run.
    pub(super) fn give_way(&self, next: &Arc<Self>) {
        if next.incarnation == self.incarnation {
            let _ = self.successor.set(Arc::clone(next));
        }
        self.end("the worker's address has changed".to_owned());
    }

    /// Ends the connection to a worker that is known to be gone; its calls fail with `cause`.
    pub(super) fn end(&self, cause: String) {
        if self.cause.set(cause).is_ok() {
            self.connection.close();
        }
    }

    /// Waits for the end, and gives its reason.
    pub(super) async fn ended(&self) -> String {
        let reason = self.connection.closed().await;
        self.cause.get().cloned().unwrap_or_else(|| reason.to_string())
    }

    fn failure(&self, error: quic::Error) -> CallError {
        match self.cause.get() {
            Some(cause) => CallError::new(ErrorKind::WorkerLost, cause.as_str()),
            None => error.into(),
        }
    }

    /// What the worker said when the connection was made.
    pub(super) fn introduction(&self) -> Introduction {
        Introduction {
            worker: self.worker.clone(),
            rank: self.rank,
            incarnation: self.incarnation,
            agent: self.connection.welcome().agent.clone(),
            load: self.connection.welcome().load,
            at: self.since,
            certificate: self.connection.certificate_validity(),
        }
    }

    /// Starts a call.
    ///
    /// # Errors
    /// `worker_lost`, `too_large`.
    pub(super) async fn call(self: Arc<Self>, call: &OutgoingCall) -> Result<LinkCall, CallError> {
        let inner = self.start(call).await?;
        // The worker tells them by their request, and gives what it has already.
        let is_repeatable = [Method::Generate, Method::Attach].map(Method::name);
        let repeat = is_repeatable
            .contains(&call.method.as_str())
            .then(|| Repeat { call: call.clone(), began: Instant::now() });
        Ok(LinkCall { call: inner, link: self, repeat })
    }

    async fn start(&self, call: &OutgoingCall) -> Result<Call, CallError> {
        let (attachments, payload): (Vec<_>, Vec<_>) = call.attachments.iter().cloned().unzip();
        let request = Request {
            id: call.id.clone(),
            attempt: call.attempt,
            incarnation: Some(self.incarnation),
            method: call.method.clone(),
            args: ByteBuf::from(call.args.to_vec()),
            deadline_ms: call.deadline.map(milliseconds),
            traceparent: call.trace.map(|trace| trace.to_string()),
            attachments,
        };
        let started = self.connection.call(&request, &payload).await;
        started.map_err(|error| self.failure(error))
    }

    /// Calls a method without arguments, and reads its value.
    ///
    /// # Errors
    /// The worker's, `worker_lost`, `protocol`.
    pub(super) async fn ask<T: DeserializeOwned>(
        self: &Arc<Self>,
        id: &RequestId,
        method: Method,
        limit: Duration,
    ) -> Result<T, CallError> {
        let call = OutgoingCall {
            id: id.clone(),
            attempt: 0,
            method: method.name().to_owned(),
            args: Bytes::from_static(codec::EMPTY),
            deadline: Some(limit),
            trace: None,
            attachments: Vec::new(),
        };
        let mut call = Arc::clone(self).call(&call).await?;
        loop {
            if let CallEvent::Reply(reply) = call.next().await? {
                return codec::decode(&reply.outcome?).map_err(|error| {
                    let message = format!("the value of {method} is not what it gives");
                    CallError::new(ErrorKind::Protocol, message).caused_by(&error)
                });
            }
        }
    }
}

/// At least one: zero would be over before it arrives.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// A call over a link.
pub(super) struct LinkCall {
    call: Call,
    link: Arc<Link>,
    /// None for one that may not be made twice.
    repeat: Option<Repeat>,
}

/// A call to be made again.
struct Repeat {
    call: OutgoingCall,
    began: Instant,
}

impl LinkCall {
    /// What the worker says next, also over a connection that takes the place of this one.
    async fn read(&mut self) -> Result<quic::CallEvent, CallError> {
        loop {
            let error = match self.call.next().await {
                Ok(event) => return Ok(event),
                Err(error) => self.link.failure(error),
            };
            let (Some(next), Some(Repeat { call, began })) =
                (self.link.successor.get().cloned(), &self.repeat)
            else {
                return Err(error);
            };
            let deadline = call.deadline.map(|limit| limit.saturating_sub(began.elapsed()));
            let call = OutgoingCall { deadline, ..call.clone() };
            tracing::debug!(id = %call.id, worker = %next.worker, "taken up at its new address");
            self.call = next.start(&call).await?;
            self.link = next;
        }
    }
}

#[async_trait]
impl CallStream for LinkCall {
    async fn next(&mut self) -> Result<CallEvent, CallError> {
        match self.read().await? {
            quic::CallEvent::Accepted(accepted) => Ok(CallEvent::Accepted {
                queue_position: accepted.queue_position,
                sharing: accepted.sharing,
            }),
            quic::CallEvent::Progress(progress) => Ok(CallEvent::Progress(progress)),
            quic::CallEvent::Preview(preview, bytes) => Ok(CallEvent::Preview(preview, bytes)),
            quic::CallEvent::Reply(reply, payload, trailer) => {
                accept(self.link.incarnation, reply, payload, trailer).map(CallEvent::Reply)
            }
        }
    }
}

/// The reply, if it is of the run that was asked.
fn accept(
    asked: Incarnation,
    reply: Reply,
    payload: Vec<Bytes>,
    trailer: Trailer,
) -> Result<CallReply, CallError> {
    if reply.incarnation != asked {
        let message =
            format!("the reply is of run {}, the call was for {asked}", reply.incarnation);
        return Err(CallError::new(ErrorKind::StaleIncarnation, message));
    }
    let outcome = match (reply.value, reply.error) {
        (_, Some(error)) => Err(error),
        (Some(value), None) => Ok(Bytes::from(value.into_vec())),
        // The transport lets no such reply through.
        (None, None) => Err(CallError::new(ErrorKind::Protocol, "the reply is empty")),
    };
    let attachments: Vec<(Attachment, Bytes)> =
        reply.attachments.into_iter().zip(payload).collect();
    Ok(CallReply { outcome, attachments, spans: trailer.spans })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_another_run_is_refused() {
        let (before, now) = (Incarnation::from_bits(1), Incarnation::from_bits(2));
        let reply = |incarnation| Reply {
            attempt: 0,
            incarnation,
            value: Some(ByteBuf::from(codec::EMPTY)),
            error: None,
            attachments: Vec::new(),
        };
        let accept = |reply| accept(now, reply, Vec::new(), Trailer::default());
        assert!(accept(reply(now)).is_ok_and(|reply| reply.outcome.is_ok()));
        let error = accept(reply(before)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::StaleIncarnation);
        assert!(error.retryable);
    }

    #[test]
    fn no_deadline_is_sent_as_zero() {
        assert_eq!(milliseconds(Duration::from_micros(10)), 1);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2000);
    }
}
