//! The caller's side of one call.

use bytes::Bytes;
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{Accepted, Preview, Progress, Reply, Request, Trailer, code};

use super::Error;
use super::stream::{FrameReader, FrameWriter};

/// A message's attachments, in the order of their headers.
pub type Payload = Vec<Bytes>;

/// A call in flight. Dropping it before its reply cancels it.
pub struct Call {
    frames: FrameReader,
    attempt: u32,
    ended: bool,
}

/// What a worker says about a call.
#[derive(Debug)]
pub enum CallEvent {
    /// It has taken the call on.
    Accepted(Accepted),
    /// It has come so far.
    Progress(Progress),
    /// It has an unfinished result to show.
    Preview(Preview, Bytes),
    /// The call has ended; nothing follows.
    Reply(Reply, Payload, Trailer),
}

impl Call {
    /// Sends a request on a new stream.
    pub(super) async fn start(
        connection: &quinn::Connection,
        request: &Request,
        payload: &[Bytes],
    ) -> Result<Self, Error> {
        let (send, receive) = connection.open_bi().await?;
        let mut writer = FrameWriter::new(send);
        writer.put(FrameKind::Request, request)?;
        writer.bulk(payload).await?;
        writer.put_end();
        writer.finish().await?;
        Ok(Self { frames: FrameReader::new(receive), attempt: request.attempt, ended: false })
    }

    /// Waits for what the worker says next.
    ///
    /// Dropping the future loses nothing while no attachment is under way.
    ///
    /// # Errors
    /// [`Error`]: the connection is lost, or the worker breaks the protocol.
    pub async fn next(&mut self) -> Result<CallEvent, Error> {
        let event = self.read().await;
        if event.is_err() {
            self.ended = true;
            self.frames.stop(code::PROTOCOL);
        }
        event
    }

    async fn read(&mut self) -> Result<CallEvent, Error> {
        let frame = self.frames.frame().await?;
        match frame.kind {
            FrameKind::Accepted => Ok(CallEvent::Accepted(frame.decode()?)),
            FrameKind::Progress => Ok(CallEvent::Progress(frame.decode()?)),
            FrameKind::Preview => {
                let preview: Preview = frame.decode()?;
                let mut bodies =
                    self.frames.attachments(std::slice::from_ref(&preview.attachment)).await?;
                Ok(CallEvent::Preview(preview, bodies.pop().unwrap_or_default()))
            }
            FrameKind::Reply => {
                let reply: Reply = frame.decode()?;
                if !answers(&reply, self.attempt) {
                    let expected = "a reply to this attempt with a value or an error";
                    return Err(Error::Unexpected { found: FrameKind::Reply, expected });
                }
                let payload = self.frames.attachments(&reply.attachments).await?;
                let trailer =
                    self.frames.frame().await?.expect(FrameKind::Trailer, "the trailer")?;
                let trailer = trailer.decode()?;
                self.frames.end().await?;
                self.ended = true;
                Ok(CallEvent::Reply(reply, payload, trailer))
            }
            found => Err(Error::Unexpected { found, expected: "an event or the reply" }),
        }
    }

    /// Tells the worker to stop computing. The reply, if one is still wanted, is `cancelled`.
    pub fn cancel(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.frames.stop(code::CANCEL);
        }
    }
}

/// Whether a reply is one to this attempt. A worker that could not read the request knows no attempt,
/// and says 0 with its error.
fn answers(reply: &Reply, attempt: u32) -> bool {
    match (&reply.value, &reply.error) {
        (Some(_), None) => reply.attempt == attempt,
        (None, Some(_)) => reply.attempt == attempt || reply.attempt == 0,
        (Some(_), Some(_)) | (None, None) => false,
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::{CallError, ErrorKind, Incarnation};

    use super::*;

    #[test]
    fn an_error_of_a_worker_that_could_not_read_the_attempt_is_a_reply_too() {
        let reply = |attempt, value: Option<&[u8]>, error: Option<CallError>| Reply {
            attempt,
            incarnation: Incarnation::from_bits(1),
            value: value.map(|value| value.to_vec().into()),
            error,
            attachments: Vec::new(),
        };
        let full = || Some(CallError::new(ErrorKind::QueueFull, "full"));
        let rows = [
            (reply(1, Some(b"v"), None), true),
            (reply(1, None, full()), true),
            (reply(0, None, full()), true),
            (reply(0, Some(b"v"), None), false),
            (reply(2, None, full()), false),
            (reply(1, Some(b"v"), full()), false),
            (reply(1, None, None), false),
        ];
        for (reply, expected) in rows {
            assert_eq!(answers(&reply, 1), expected, "{reply:?}");
        }
    }
}
