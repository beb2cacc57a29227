//! What can go wrong between two peers, and how it looks as a call's error.

use std::io;
use std::net::SocketAddr;

use hearth_api::{CallError, ErrorKind};
use hearth_base::text;
use hearth_protocol::codec::CodecError;
use hearth_protocol::frame::{FrameError, FrameKind};
use hearth_protocol::message::code;

use super::settings;

/// A failure of the transport or of the peer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket can't be had.
    #[error("UDP {addr} can't be bound")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// The process's own certificate or authorities don't serve.
    #[error("the certificate does not serve for TLS ({0}): make a new one with hearth pki issue")]
    Identity(String),
    /// No address of the peer answered.
    #[error("no connection to {addr}: {reason}")]
    Connect {
        /// The address that was tried last.
        addr: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// The peer has no address.
    #[error("the worker's record names no address: set advertise in its config")]
    NoAddress,
    /// The connection ended.
    #[error("the connection is lost: {0}")]
    Lost(CloseReason),
    /// A bound on time was reached.
    #[error("{0} took longer than {1:?}")]
    TimedOut(&'static str, std::time::Duration),
    /// A message's bytes come too slowly.
    #[error(
        "the message came at less than {} KiB/s for {:?}: its memory serves others",
        settings::BODY_RATE >> 10, settings::BODY_GRACE
    )]
    TooSlow,
    /// The peer, or this process, holds as much as one identity may, or all together.
    #[error("{0}")]
    Overloaded(String),
    /// A frame is malformed.
    #[error("the peer sent a malformed frame")]
    Frame(#[from] FrameError),
    /// A message is malformed.
    #[error("the peer sent a malformed message")]
    Codec(#[from] CodecError),
    /// A frame came where another belongs.
    #[error("the peer sent a {found:?} frame where {expected} belongs")]
    Unexpected {
        /// What came.
        found: FrameKind,
        /// What was due.
        expected: &'static str,
    },
    /// The stream finished before its message did.
    #[error("the peer cut the message off")]
    CutOff,
    /// A message breaks a rule; the error says which.
    #[error("the message is refused")]
    Refused(#[source] CallError),
    /// The stream was stopped by the peer.
    #[error("the caller went away")]
    Stopped,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side")]
    Ours,
    /// The peer closed it in good order.
    #[error("the peer closed it")]
    Peer,
    /// The peer refuses this side.
    #[error("the peer refuses this side ({0})")]
    Refused(String),
    /// The peer has no room for this side now.
    #[error("the peer is overloaded ({0})")]
    Busy(String),
    /// The certificates that the connection was made with no longer count.
    #[error("closed for its certificates: {0}")]
    Lapsed(String),
    /// The peer's process is a new one.
    #[error("the peer was restarted")]
    Restarted,
    /// Nothing came for the idle timeout.
    #[error("the peer is silent: it is down, frozen or out of reach")]
    Silent,
    /// The TLS handshake failed.
    #[error("the certificates don't fit ({0}): see hearth pki show and hearth doctor")]
    Tls(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<quinn::ConnectionError> for CloseReason {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        match error {
            E::LocallyClosed => Self::Ours,
            E::Reset => Self::Restarted,
            E::TimedOut => Self::Silent,
            E::ApplicationClosed(close) if close.error_code == code::BYE.into() => Self::Peer,
            E::ApplicationClosed(close) => {
                let reason = plain(&String::from_utf8_lossy(&close.reason));
                if close.error_code == code::BUSY.into() {
                    Self::Busy(reason)
                } else if close.error_code == code::CERTIFICATE.into() {
                    Self::Lapsed(reason)
                } else {
                    Self::Refused(reason)
                }
            }
            // Codes 0x100 to 0x1ff are TLS alerts (RFC 9001, section 4.8).
            E::ConnectionClosed(close) if is_tls(close.error_code) => {
                Self::Tls(plain(&format!("the peer says {close}")))
            }
            E::TransportError(error) if is_tls(error.code) => Self::Tls(plain(&error.reason)),
            other => Self::Other(plain(&other.to_string())),
        }
    }
}

/// A peer's words as they may stand in one line.
pub(super) fn plain(words: &str) -> String {
    const MOST: usize = 512;
    let end = words.floor_char_boundary(MOST);
    text::escape_line(&words[..end]).into_owned()
}

fn is_tls(code: quinn_proto::TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}

impl From<quinn::ConnectionError> for Error {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::Lost(error.into())
    }
}

impl From<quinn::ReadError> for Error {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::ConnectionLost(error) => error.into(),
            _ => Self::CutOff,
        }
    }
}

impl From<quinn::WriteError> for Error {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(error) => error.into(),
            _ => Self::Stopped,
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for CallError {
    fn from(error: &Error) -> Self {
        let kind = match error {
            Error::Refused(error) => return error.clone(),
            Error::Connect { reason: CloseReason::Tls(_) | CloseReason::Refused(_), .. } => {
                ErrorKind::PermissionDenied
            }
            Error::Connect { reason: CloseReason::Busy(_), .. }
            | Error::Lost(CloseReason::Busy(_))
            | Error::Overloaded(_) => ErrorKind::Overloaded,
            Error::Connect { .. } | Error::Lost(_) | Error::NoAddress => ErrorKind::WorkerLost,
            Error::TimedOut(..) | Error::TooSlow => ErrorKind::DeadlineExceeded,
            Error::Bind { .. } | Error::Identity(_) => ErrorKind::Internal,
            Error::Stopped => ErrorKind::Cancelled,
            Error::Frame(FrameError::TooLong { .. }) | Error::Codec(CodecError::TooLong(_)) => {
                ErrorKind::TooLarge
            }
            Error::Frame(_) | Error::Codec(_) | Error::Unexpected { .. } | Error::CutOff => {
                ErrorKind::Protocol
            }
        };
        let mut call = Self::new(kind, error.to_string());
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            call.causes.push(next.to_string());
            cause = next.source();
        }
        call
    }
}
