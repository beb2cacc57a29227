//! Errors that cross the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Rank, RequestId, WorkerId};
use crate::limits;

/// What went wrong, as a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A field of the request is wrong; `param` names it.
    InvalidArgument,
    /// No such method.
    UnknownMethod,
    /// No such model here.
    UnknownModel,
    /// No such request here.
    UnknownRequest,
    /// The peer's role may not call this method.
    PermissionDenied,
    /// The request id is in use with other content.
    IdConflict,
    /// The queue is at its bound.
    QueueFull,
    /// The caller, or all callers together, hold as much as they may.
    Overloaded,
    /// The worker takes no new requests.
    Draining,
    /// The worker is loading or sleeping.
    NotReady,
    /// The deadline passed.
    DeadlineExceeded,
    /// The caller cancelled.
    Cancelled,
    /// The caller went away before the request ran.
    Abandoned,
    /// The connection to the worker was lost; the worker may still finish the request.
    WorkerLost,
    /// No worker can take the request.
    NoWorker,
    /// The call was meant for an earlier run of the worker.
    StaleIncarnation,
    /// A frame, message or payload is beyond its limit.
    TooLarge,
    /// The peer broke the protocol.
    Protocol,
    /// The peers have no protocol version in common.
    VersionMismatch,
    /// The model failed while it ran.
    ModelFailed,
    /// Too many workers were lost while they computed the request.
    Quarantined,
    /// A fault of the software itself.
    Internal,
    /// A code of a newer version.
    #[serde(other)]
    Unknown,
}

impl ErrorKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 23] = [
        Self::InvalidArgument,
        Self::UnknownMethod,
        Self::UnknownModel,
        Self::UnknownRequest,
        Self::PermissionDenied,
        Self::IdConflict,
        Self::QueueFull,
        Self::Overloaded,
        Self::Draining,
        Self::NotReady,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::Abandoned,
        Self::WorkerLost,
        Self::NoWorker,
        Self::StaleIncarnation,
        Self::TooLarge,
        Self::Protocol,
        Self::VersionMismatch,
        Self::ModelFailed,
        Self::Quarantined,
        Self::Internal,
        Self::Unknown,
    ];

    /// The code on the wire and in JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::UnknownMethod => "unknown_method",
            Self::UnknownModel => "unknown_model",
            Self::UnknownRequest => "unknown_request",
            Self::PermissionDenied => "permission_denied",
            Self::IdConflict => "id_conflict",
            Self::QueueFull => "queue_full",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::NotReady => "not_ready",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::WorkerLost => "worker_lost",
            Self::NoWorker => "no_worker",
            Self::StaleIncarnation => "stale_incarnation",
            Self::TooLarge => "too_large",
            Self::Protocol => "protocol",
            Self::VersionMismatch => "version_mismatch",
            Self::ModelFailed => "model_failed",
            Self::Quarantined => "quarantined",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the same request may succeed elsewhere or later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::QueueFull
                | Self::Overloaded
                | Self::Draining
                | Self::NotReady
                | Self::Abandoned
                | Self::WorkerLost
                | Self::NoWorker
                | Self::StaleIncarnation
        )
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// A call's failure: what, why, whether to try again, and where it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// The stable code.
    pub kind: ErrorKind,
    /// What happened, with the field, the value and the remedy.
    pub message: String,
    /// Whether the same request may succeed elsewhere or later.
    pub retryable: bool,
    /// How long to wait before trying again, in milliseconds, where whoever refused can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// The request's field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The worker that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// Its rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<Rank>,
}

impl CallError {
    /// An error of a kind, retryable as the kind is.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retryable: kind.is_retryable(),
            retry_after_ms: None,
            param: None,
            causes: Vec::new(),
            worker: None,
            rank: None,
        }
    }

    /// [`ErrorKind::InvalidArgument`] for one field.
    #[must_use]
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(ErrorKind::InvalidArgument, message) }
    }

    /// [`ErrorKind::Quarantined`] for a request that so many workers were lost to.
    #[must_use]
    pub fn quarantined(request: &RequestId, lost: usize) -> Self {
        let message = format!(
            "request {request} is quarantined: {lost} workers were lost while they computed it. \
             Their logs say why; change what is asked for, or ask for it under another id"
        );
        Self { param: Some("id".to_owned()), ..Self::new(ErrorKind::Quarantined, message) }
    }

    /// Adds the causes of `error`, outermost first.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Adds where it happened, unless that is known already.
    #[must_use]
    pub fn at(mut self, worker: &WorkerId, rank: Option<Rank>) -> Self {
        if self.worker.is_none() {
            self.worker = Some(worker.clone());
            self.rank = rank;
        }
        self
    }

    /// Brings the texts within the limits: a message that quotes a peer must not be as long as what
    /// the peer sent.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.causes.truncate(limits::ERROR_CAUSES);
        let texts = self.causes.iter_mut().chain(self.param.as_mut());
        for text in texts.chain(std::iter::once(&mut self.message)) {
            shorten(text);
        }
        self
    }
}

/// Takes the middle out of a long text: what happened is at its start, the remedy at its end.
fn shorten(text: &mut String) {
    if text.len() <= limits::ERROR_TEXT {
        return;
    }
    let half = limits::ERROR_TEXT / 2 - " … ".len();
    let (head, tail) = (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
    text.replace_range(head..tail, " … ");
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        if let Some(worker) = &self.worker {
            write!(f, " (worker {worker})")?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_quotation_loses_its_middle() {
        let long = format!("method {:?} is unknown: known are ä", "ö".repeat(500_000));
        let error = CallError::invalid("p".repeat(5000), long.clone());
        let error = CallError { causes: vec![long; 20], ..error }.shortened();
        assert!(error.message.len() <= limits::ERROR_TEXT, "{}", error.message.len());
        assert!(error.message.starts_with("method \"ö"), "{}", error.message);
        assert!(error.message.ends_with("known are ä"), "{}", error.message);
        assert_eq!(error.causes.len(), limits::ERROR_CAUSES);
        let short = CallError::invalid("p", "short");
        assert_eq!(short.clone().shortened(), short);
    }

    #[test]
    fn serde_and_code_agree_for_every_kind() {
        for kind in ErrorKind::ALL {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{}\"", kind.code()));
            assert_eq!(serde_json::from_str::<ErrorKind>(&json).unwrap(), kind);
        }
        assert_eq!(
            serde_json::from_str::<ErrorKind>("\"from_the_future\"").unwrap(),
            ErrorKind::Unknown
        );
    }
}
