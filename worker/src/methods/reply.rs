//! What a method's call ends with.

use std::time::Duration;

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::Responder;
use hearth_protocol::codec;
use hearth_protocol::message::{Attachment, Trailer};
use serde::Serialize;

use super::call::Answer;
use crate::shared::Shared;

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

/// An answer of a value alone.
pub(super) fn answer<T: Serialize>(said: &T) -> Result<Answer, CallError> {
    Ok(Answer { value: value(said)?, ..Answer::default() })
}

pub(super) fn attachment(name: &str, media_type: &str, body: &Bytes) -> Attachment {
    Attachment {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        len: body.len() as u64,
        tensor: None,
    }
}

/// Writes a method's value.
pub(super) fn value<T: Serialize>(value: &T) -> Result<Vec<u8>, CallError> {
    codec::encode(value).map_err(|error| {
        CallError::new(ErrorKind::Internal, "the value can't be encoded").caused_by(&error)
    })
}

/// The error of what the program does wrong itself.
pub(super) fn own_fault() -> CallError {
    CallError::new(
        ErrorKind::Internal,
        "the worker failed by a fault of its own: its log says more",
    )
}
