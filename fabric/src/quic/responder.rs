//! The worker's side of one call: where its events and its one reply go.

use std::sync::Arc;

use bytes::Bytes;
use hearth_api::{CallError, Incarnation};
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{
    Accepted, Attachment, Preview, Progress, Reply, Trailer, check_attachments, code,
};
use tokio::sync::Semaphore;

use super::Error;
use super::call::Payload;
use super::stream::FrameWriter;

/// Where a call's events and its one reply go. Dropped without a reply, the caller is told that
/// the call failed.
pub struct Responder {
    writer: FrameWriter,
    incarnation: Incarnation,
    pub(super) attempt: u32,
    bulk: Arc<Semaphore>,
}

/// Streams are served in this order: control calls and progress, results, previews.
mod priority {
    pub(super) const CONTROL: i32 = 2;
    pub(super) const RESULT: i32 = 1;
    pub(super) const PREVIEW: i32 = 0;
}

impl Responder {
    pub(super) fn new(
        stream: quinn::SendStream,
        incarnation: Incarnation,
        bulk: Arc<Semaphore>,
    ) -> Self {
        let writer = FrameWriter::new(stream);
        writer.set_priority(priority::CONTROL);
        Self { writer, incarnation, attempt: 0, bulk }
    }

    /// Completes when the caller cancels; never when the caller's connection is lost.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.writer.stream().stopped();
        async move {
            match stopped.await {
                Ok(Some(stop)) if stop == code::CANCEL.into() => {}
                _ => std::future::pending().await,
            }
        }
    }

    /// Says that the call is taken on.
    ///
    /// # Errors
    /// [`Error`]: the caller is gone.
    pub async fn accepted(&mut self, accepted: Accepted) -> Result<(), Error> {
        self.writer.put(FrameKind::Accepted, &accepted)?;
        self.writer.flush().await
    }

    /// Says how far the call is.
    ///
    /// # Errors
    /// [`Error`]: the caller is gone.
    pub async fn progress(&mut self, progress: &Progress) -> Result<(), Error> {
        self.writer.put(FrameKind::Progress, progress)?;
        self.writer.flush().await
    }

    /// Shows an unfinished result.
    ///
    /// # Errors
    /// [`Error`]: the caller is gone.
    pub async fn preview(&mut self, preview: &Preview, body: Bytes) -> Result<(), Error> {
        self.writer.set_priority(priority::PREVIEW);
        self.writer.put(FrameKind::Preview, preview)?;
        let sent = self.writer.bulk(&[body]).await;
        self.writer.set_priority(priority::CONTROL);
        sent
    }

    /// Ends the call with a value (an encoded MessagePack map) and its attachments, and waits until
    /// the caller has them.
    pub async fn succeed(
        self,
        value: Vec<u8>,
        attachments: Vec<Attachment>,
        payload: Payload,
        trailer: Trailer,
    ) {
        if let Err(error) = check_attachments(&attachments) {
            return self.fail(error).await;
        }
        let (attempt, incarnation) = (self.attempt, self.incarnation);
        let value = Some(value.into());
        let reply = Reply { attempt, incarnation, value, error: None, attachments };
        self.end(&reply, &payload, &trailer).await;
    }

    /// Ends the call with an error.
    pub async fn fail(self, error: CallError) {
        let (attempt, incarnation) = (self.attempt, self.incarnation);
        let reply = Reply {
            attempt,
            incarnation,
            value: None,
            error: Some(error.shortened()),
            attachments: Vec::new(),
        };
        self.end(&reply, &[], &Trailer::default()).await;
    }

    /// A caller that has gone or cancelled is not an error here: its reply is of no use to it.
    async fn end(mut self, reply: &Reply, payload: &[Bytes], trailer: &Trailer) {
        if self.writer.is_torn() {
            return self.writer.reset(code::PROTOCOL);
        }
        let sent = async {
            self.writer.put(FrameKind::Reply, reply)?;
            if !payload.is_empty() {
                self.writer.set_priority(priority::RESULT);
                let _turn = self.bulk.acquire().await;
                self.writer.bulk(payload).await?;
            }
            self.writer.put(FrameKind::Trailer, trailer)?;
            self.writer.put_end();
            self.writer.flush().await
        };
        match sent.await {
            Ok(()) if payload.is_empty() => drop(self.writer.finish().await),
            Ok(()) => drop(self.writer.deliver().await),
            Err(Error::Stopped | Error::Lost(_)) => {}
            Err(error) => {
                let error = CallError::from(error);
                tracing::error!(%error, "a reply could not be sent");
                self.writer.reset(code::PROTOCOL);
            }
        }
    }
}
