//! What each method does. Those that look or steer never wait for compute; `generate` and what the
//! engine is ordered to do only listen for its word.
//!
//! A program that embeds the worker adds methods of its own with [`Methods::register`].

mod attach;
mod control;
mod generate;
mod graphs;
mod models;
mod status;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::{Payload, Peer, Responder};
use hearth_protocol::codec;
use hearth_protocol::message::{Attachment, Request, Trailer};
use hearth_protocol::methods::Method;
use hearth_protocol::role::Role;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::state::Shared;

pub(crate) use attach::attach;
pub(crate) use control::{cancel, drain, list_requests, resume, shutdown};
pub(crate) use generate::generate;
pub(crate) use graphs::{infer, profile};
pub(crate) use models::{load_model, sleep, unload_model, wake_up};
pub(crate) use status::{check_health, get_rank, list_models, stats};

/// A call of a registered method.
pub struct Call {
    /// Who calls.
    pub peer: Arc<Peer>,
    /// What is asked.
    pub request: Request,
    /// Its attachments.
    pub payload: Payload,
}

/// What a registered method gives.
#[derive(Default)]
pub struct Answer {
    /// A MessagePack map; empty stands for one without entries.
    pub value: Vec<u8>,
    /// Headers of the bulk parts.
    pub attachments: Vec<Attachment>,
    /// The bulk parts, in the order of their headers.
    pub payload: Payload,
}

/// A registered method: a future that is dropped when the caller cancels or goes away.
pub type Handler = Arc<
    dyn Fn(Call) -> Pin<Box<dyn Future<Output = Result<Answer, CallError>> + Send>> + Send + Sync,
>;

/// The methods that an embedding program adds.
#[derive(Default)]
pub struct Methods(HashMap<String, (Vec<Role>, Handler)>);

/// Why a method can't be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("method {0:?} is there already: choose another name")]
pub struct NameTaken(pub String);

impl Methods {
    /// Adds a method that the given roles may call.
    ///
    /// # Errors
    /// [`NameTaken`], also for a built-in method's name.
    pub fn register(
        &mut self,
        name: &str,
        roles: &[Role],
        handler: Handler,
    ) -> Result<(), NameTaken> {
        if name.parse::<Method>().is_ok() || self.0.contains_key(name) {
            return Err(NameTaken(name.to_owned()));
        }
        self.0.insert(name.to_owned(), (roles.to_vec(), handler));
        Ok(())
    }

    /// The method of that name, if the role may call it.
    pub(crate) fn find(&self, name: &str, role: Role) -> Result<&Handler, CallError> {
        let Some((roles, handler)) = self.0.get(name) else {
            let built_in = Method::ALL.iter().map(|method| method.name());
            let mut known: Vec<&str> = built_in.chain(self.0.keys().map(String::as_str)).collect();
            known.sort_unstable();
            let message = format!("method {name:?} is unknown: known are {}", known.join(", "));
            return Err(CallError::new(ErrorKind::UnknownMethod, message));
        };
        if !roles.contains(&role) {
            return Err(denied(role, name));
        }
        Ok(handler)
    }
}

pub(crate) fn denied(role: Role, method: &str) -> CallError {
    let message =
        format!("role {role} may not call {method}: use a certificate with a role that may");
    CallError::new(ErrorKind::PermissionDenied, message)
}

/// Reads a method's arguments.
fn arguments<T: DeserializeOwned>(request: &Request) -> Result<T, CallError> {
    codec::decode_named(&request.args).map_err(|(field, reason)| {
        let method = &request.method;
        match field.as_str() {
            "" => CallError::invalid("args", format!("the arguments of {method}: {reason}")),
            field => CallError::invalid(field, format!("{field} of {method}: {reason}")),
        }
    })
}

/// Ends a call with what `answer` gives, unless its caller cancels or its deadline passes first;
/// `stop` is done then.
pub(crate) async fn respond(
    shared: &Shared,
    responder: Responder,
    deadline_ms: Option<u64>,
    answer: impl Future<Output = Result<Answer, CallError>>,
    stop: impl FnOnce(),
) {
    let limit = deadline_ms.map_or(Duration::MAX, Duration::from_millis);
    let cancelled = responder.cancelled();
    let answer = tokio::select! {
        biased;
        () = cancelled => return stop(),
        answer = tokio::time::timeout(limit, answer) => answer,
    };
    let answer = answer.unwrap_or_else(|_| {
        stop();
        let message = "the deadline passed: give more time";
        Err(CallError::new(ErrorKind::DeadlineExceeded, message))
    });
    match answer {
        Ok(Answer { value, attachments, payload }) => {
            let value = if value.is_empty() { codec::EMPTY.to_vec() } else { value };
            responder.succeed(value, attachments, payload, Trailer::default()).await;
        }
        Err(error) => responder.fail(shared.located(error)).await,
    }
}

/// Waits for the engine's word on an order.
async fn word<T>(outcome: oneshot::Receiver<Result<T, CallError>>) -> Result<T, CallError> {
    let ended = || CallError::new(ErrorKind::Draining, "the worker ended first: ask another one");
    outcome.await.unwrap_or_else(|_| Err(ended()))
}

/// An answer of a value alone.
fn answer<T: Serialize>(said: &T) -> Result<Answer, CallError> {
    Ok(Answer { value: value(said)?, ..Answer::default() })
}

fn attachment(name: &str, media_type: &str, body: &Bytes) -> Attachment {
    Attachment {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        len: body.len() as u64,
        tensor: None,
    }
}

/// Writes a method's value.
fn value<T: Serialize>(value: &T) -> Result<Vec<u8>, CallError> {
    codec::encode(value).map_err(|error| {
        CallError::new(ErrorKind::Internal, "the value can't be encoded").caused_by(&error)
    })
}
