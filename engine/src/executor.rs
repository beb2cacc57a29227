//! How an engine reaches workers: the one seam that it knows of.
//!
//! An executor keeps a view of its workers and carries calls to them. It plans nothing, retries
//! nothing and judges no reply; whether it owns its workers' lives is its own business.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_api::trace::TraceParent;
use hearth_api::{CallError, RequestId, WorkerId};
use hearth_protocol::message::{Attachment, Preview, Progress, Span};
use tokio::sync::watch;

use crate::fleet::FleetView;

/// Reaches workers.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// The workers, and their changes.
    fn fleet(&self) -> watch::Receiver<Arc<FleetView>>;

    /// Starts a call on one worker. Dropping what it returns cancels the call there.
    ///
    /// # Errors
    /// `worker_lost` where there is no connection, `too_large`.
    async fn call(
        &self,
        worker: &WorkerId,
        call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError>;

    /// Ends every connection and background task of this executor. Workers that it does not own
    /// are left as they are.
    async fn close(&self);

    /// What an executor that owns its workers could not end when it was closed, and why; none where
    /// nothing is left.
    fn unended(&self) -> Option<String> {
        None
    }
}

/// A call in flight. Dropping it before its reply cancels it on the worker.
#[async_trait]
pub trait CallStream: Send {
    /// Waits for what the worker says next. Nothing follows a reply or an error.
    ///
    /// # Errors
    /// `worker_lost`, `stale_incarnation` for the reply of another run of the worker, `protocol`.
    /// A failure that the worker itself reports is in the reply.
    async fn next(&mut self) -> Result<CallEvent, CallError>;
}

/// What is asked of a worker. One is made for all workers of a collective call.
#[derive(Debug, Clone)]
pub struct OutgoingCall {
    /// The request's name.
    pub id: RequestId,
    /// 0 at first, one more for each time it is tried again.
    pub attempt: u32,
    /// The method's name.
    pub method: String,
    /// The method's arguments, a MessagePack map.
    pub args: Bytes,
    /// Time that the worker has for it; none for no limit.
    pub deadline: Option<Duration>,
    /// The trace that it belongs to; none for a call that nobody traces.
    pub trace: Option<TraceParent>,
    /// Bulk parts.
    pub attachments: Vec<(Attachment, Bytes)>,
}

/// What a worker says about a call.
#[derive(Debug)]
pub enum CallEvent {
    /// It has taken the call on.
    Accepted {
        /// Calls that run before this one.
        queue_position: u32,
        /// Items beside which it begins in one slot, sharing their steps.
        sharing: u32,
    },
    /// It has come so far.
    Progress(Progress),
    /// It has an unfinished result to show.
    Preview(Preview, Bytes),
    /// The call has ended.
    Reply(CallReply),
}

/// How a call ended on a worker.
#[derive(Debug)]
pub struct CallReply {
    /// The method's value, a MessagePack map, or the worker's error.
    pub outcome: Result<Bytes, CallError>,
    /// Bulk parts.
    pub attachments: Vec<(Attachment, Bytes)>,
    /// The worker's spans, oldest first.
    pub spans: Vec<Span>,
}
