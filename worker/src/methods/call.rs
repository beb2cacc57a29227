//! A method's call, and its answer.

use std::sync::Arc;

use hearth_fabric::quic::{Payload, Peer};
use hearth_inference::session::Interrupt;
use hearth_protocol::message::{Attachment, Request};

use crate::shared::Shared;

/// A call of a built-in method that takes its time.
pub(super) struct MethodCall {
    pub(super) shared: Arc<Shared>,
    pub(super) request: Request,
    pub(super) payload: Payload,
    /// Thrown when the caller cancels or its deadline passes.
    pub(super) interrupt: Interrupt,
}

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
