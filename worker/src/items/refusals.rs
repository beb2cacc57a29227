//! What callers are told where the table has nothing better for them.

use hearth_api::{CallError, ErrorKind, RequestId};

pub(super) fn id_conflict(request: &RequestId) -> CallError {
    let message = format!(
        "request id {request} is in use for another content: choose another id, or leave it out"
    );
    CallError { param: Some("id".to_owned()), ..CallError::new(ErrorKind::IdConflict, message) }
}

pub(super) fn queue_full(waiting: usize) -> CallError {
    let message = format!(
        "{waiting} requests wait, as many as worker.queue allows: try again or ask another worker"
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
