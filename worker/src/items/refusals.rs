//! What callers are told where the table has nothing better for them.

use std::time::Duration;

use hearth_api::{CallError, ErrorKind, RequestId};

pub(super) fn id_conflict(request: &RequestId) -> CallError {
    let message = format!(
        "request id {request} is in use for another content: choose another id, or leave it out"
    );
    CallError { param: Some("id".to_owned()), ..CallError::new(ErrorKind::IdConflict, message) }
}

/// For a caller that may come back for a place after `wait`.
pub(super) fn queue_full(waiting: u32, wait: Duration) -> CallError {
    let message = format!(
        "{waiting} requests wait, and worker.queue allows no more: try again in {wait:.1?}, or ask \
         another worker"
    );
    let retry_after_ms = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
    CallError { retry_after_ms, ..CallError::new(ErrorKind::QueueFull, message) }
}

/// For a caller that wants no place so far behind.
pub(super) fn would_wait(position: u32, most: u32) -> CallError {
    let message = format!(
        "{position} requests would run before it, more than max_queue_position ({most}): ask \
         another worker"
    );
    CallError::new(ErrorKind::QueueFull, message)
}

pub(super) fn not_yours(request: &RequestId) -> CallError {
    let message = format!(
        "request {request} is another's: whoever sent it or has attached to it may cancel it, and an \
         administrator"
    );
    CallError::new(ErrorKind::PermissionDenied, message)
}

/// The error of an item that was stopped for `kind`.
pub(super) fn stopped(kind: ErrorKind) -> CallError {
    let message = if kind == ErrorKind::DeadlineExceeded {
        "the deadline passed: give more time or fewer steps"
    } else if kind == ErrorKind::Abandoned {
        "the caller went away before the request ran"
    } else if kind == ErrorKind::Draining {
        "the worker ended before the request did"
    } else {
        "the request was cancelled"
    };
    CallError::new(kind, message)
}
