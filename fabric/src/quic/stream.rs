//! Frames on a QUIC stream: read with every length checked first, written without copying bulk.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use hearth_protocol::codec;
use hearth_protocol::frame::{FrameHeader, FrameKind, HEADER_LEN};
use hearth_protocol::limits;
use hearth_protocol::message::{Attachment, check_attachments};
use quinn::{RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Error;
use super::memory::{Memory, Reservation};
use super::settings::{BODY_GRACE, BODY_RATE};

/// What is read at once where less is asked for: a whole small message, and little of a bulk part,
/// since these bytes may be copied twice.
const READ_AHEAD: usize = 2048;

/// Room for a control call's frame, in bytes.
const SMALL_MESSAGE: usize = 256;

/// Reads frames.
pub(super) struct FrameReader {
    stream: RecvStream,
    /// Where memory for what is read is asked for, if it is bounded.
    memory: Option<Memory>,
    /// Memory that was taken, held as long as the reader.
    taken: Vec<Reservation>,
    /// Since when bulk is awaited, and how much of it has come; none where nobody's memory is held.
    pace: Option<Pace>,
    /// What has come and is not consumed, so that a dropped read loses nothing.
    ahead: Bytes,
}

/// How quickly bulk comes.
#[derive(Debug, Clone, Copy)]
struct Pace {
    began: Instant,
    bytes: u64,
}

impl Pace {
    /// By when more must have come.
    fn deadline(&self) -> Instant {
        let moved = self.bytes as f64 / f64::from(BODY_RATE);
        self.began + BODY_GRACE + Duration::from_secs_f64(moved)
    }
}

/// A frame that is not bulk, with its payload.
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    payload: Bytes,
}

impl Frame {
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(codec::decode(&self.payload)?)
    }

    pub(super) fn expect(self, kind: FrameKind, name: &'static str) -> Result<Self, Error> {
        if self.kind == kind {
            return Ok(self);
        }
        Err(Error::Unexpected { found: self.kind, expected: name })
    }
}

impl FrameReader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, memory: None, taken: Vec::new(), pace: None, ahead: Bytes::new() }
    }

    /// A reader whose messages count against `memory` for as long as it is there.
    pub(super) fn bounded(stream: RecvStream, memory: Memory) -> Self {
        Self { memory: Some(memory), ..Self::new(stream) }
    }

    async fn take(&mut self, bytes: u64) -> Result<(), Error> {
        if let Some(memory) = &self.memory {
            self.taken.extend(memory.take(bytes).await?);
        }
        Ok(())
    }

    /// The next frame; bulk is refused. Dropping the future loses nothing.
    pub(super) async fn frame(&mut self) -> Result<Frame, Error> {
        let header = self.peek_header().await?;
        if header.kind == FrameKind::Bulk {
            return Err(Error::Unexpected { found: header.kind, expected: "a structured frame" });
        }
        self.take(header.len.into()).await?;
        self.fill(HEADER_LEN + header.len as usize).await?;
        let frame = self.ahead.split_to(HEADER_LEN + header.len as usize);
        Ok(Frame { kind: header.kind, payload: frame.slice(HEADER_LEN..) })
    }

    /// The bulk frames of a message's attachments, in their order.
    ///
    /// The bytes are copied once, out of the transport's buffers into one piece per attachment.
    /// Dropping the future loses the message.
    pub(super) async fn attachments(&mut self, parts: &[Attachment]) -> Result<Vec<Bytes>, Error> {
        check_attachments(parts).map_err(Error::Refused)?;
        self.take(parts.iter().map(|part| part.len).sum()).await?;
        self.pace = (!self.taken.is_empty()).then(|| Pace { began: Instant::now(), bytes: 0 });
        let mut bodies = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            bodies.push(self.attachment(index, part.len).await?);
        }
        Ok(bodies)
    }

    async fn attachment(&mut self, index: usize, len: u64) -> Result<Bytes, Error> {
        // Within `limits::PAYLOAD`; the system gives the pages as they are written to.
        let len = usize::try_from(len).map_err(|_| Error::CutOff)?;
        let mut body = BytesMut::with_capacity(len);
        while body.len() < len {
            let header = self.peek_header().await?;
            self.ahead.advance(HEADER_LEN);
            let fits = header.len as usize <= len - body.len() && header.len > 0;
            if header.kind != FrameKind::Bulk || usize::from(header.attachment) != index || !fits {
                let expected = "the next bulk frame of an attachment";
                return Err(Error::Unexpected { found: header.kind, expected });
            }
            let end = body.len() + header.len as usize;
            let here = self.ahead.len().min(header.len as usize);
            body.extend_from_slice(&self.ahead.split_to(here));
            while body.len() < end {
                body.extend_from_slice(&self.read(end - body.len()).await?);
            }
        }
        Ok(body.freeze())
    }

    /// The frame that closes a message.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        self.frame().await?.expect(FrameKind::End, "the end of the message")?;
        // The FIN mostly comes with the frame. Taken, the stream is over for quinn too; left, its
        // drop would send a STOP_SENDING for nothing.
        let _ = self.stream.read_chunk(1, true).now_or_never();
        Ok(())
    }

    /// Asks the peer to stop sending.
    pub(super) fn stop(&mut self, code: u32) {
        // Fails only for a stream that has ended already.
        let _ = self.stream.stop(code.into());
    }

    async fn peek_header(&mut self) -> Result<FrameHeader, Error> {
        self.fill(HEADER_LEN).await?;
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(&self.ahead[..HEADER_LEN]);
        Ok(FrameHeader::decode(bytes)?)
    }

    /// What comes next, at most `most` bytes.
    async fn read(&mut self, most: usize) -> Result<Bytes, Error> {
        let read = self.stream.read_chunk(most, true);
        let chunk = match &self.pace {
            None => read.await?,
            Some(pace) => {
                let slow = |_| Error::TooSlow;
                tokio::time::timeout_at(pace.deadline(), read).await.map_err(slow)??
            }
        };
        let bytes = chunk.ok_or(Error::CutOff)?.bytes;
        if let Some(pace) = &mut self.pace {
            pace.bytes += bytes.len() as u64;
        }
        Ok(bytes)
    }

    /// Reads until `ahead` holds `len` bytes. A small message comes with one read, and stays where
    /// the transport put it.
    async fn fill(&mut self, len: usize) -> Result<(), Error> {
        while self.ahead.len() < len {
            let missing = len - self.ahead.len();
            let chunk = self.read(missing.max(READ_AHEAD)).await?;
            self.ahead = if self.ahead.is_empty() {
                chunk
            } else {
                // Copied at the first join alone: what was joined belongs to nobody else.
                let mut joined = BytesMut::from(std::mem::take(&mut self.ahead));
                joined.reserve(missing.max(chunk.len()));
                joined.extend_from_slice(&chunk);
                joined.freeze()
            };
        }
        Ok(())
    }
}

/// Writes frames. What is not bulk is gathered and sent in one piece.
pub(super) struct FrameWriter {
    stream: SendStream,
    pending: Vec<u8>,
    /// A write is under way, or was dropped in the middle of a frame.
    torn: bool,
}

impl FrameWriter {
    pub(super) fn new(stream: SendStream) -> Self {
        Self { stream, pending: Vec::new(), torn: false }
    }

    pub(super) fn stream(&self) -> &SendStream {
        &self.stream
    }

    /// Whether a write was dropped in the middle of a frame: nothing that follows would be read as
    /// what it is.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Adds a structured frame.
    pub(super) fn put<T: Serialize>(&mut self, kind: FrameKind, message: &T) -> Result<(), Error> {
        let start = self.pending.len();
        let body = start + HEADER_LEN;
        self.pending.reserve(SMALL_MESSAGE);
        self.pending.resize(body, 0);
        if let Err(error) = codec::encode_onto(&mut self.pending, message) {
            self.pending.truncate(start);
            return Err(error.into());
        }
        // `encode_onto` keeps to `limits::STRUCTURED`, which fits.
        let len = u32::try_from(self.pending.len() - body).unwrap_or(u32::MAX);
        self.pending[start..body].copy_from_slice(&FrameHeader::new(kind, len).encode());
        Ok(())
    }

    /// Adds the frame that closes the message.
    pub(super) fn put_end(&mut self) {
        self.pending.extend_from_slice(&FrameHeader::new(FrameKind::End, 0).encode());
    }

    /// Sends what was added.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            let pending = Bytes::from(std::mem::take(&mut self.pending));
            self.torn = true;
            self.stream.write_chunk(pending).await?;
            self.torn = false;
        }
        Ok(())
    }

    /// Sends what was added, then the attachments without copying them.
    pub(super) async fn bulk(&mut self, bodies: &[Bytes]) -> Result<(), Error> {
        self.torn = true;
        for (index, body) in bodies.iter().enumerate() {
            // `check_attachments` keeps to `limits::ATTACHMENTS`, which fits.
            let attachment = u16::try_from(index).unwrap_or(u16::MAX);
            let mut rest = body.clone();
            while !rest.is_empty() {
                let piece = rest.split_to(rest.len().min(limits::BULK as usize));
                let len = u32::try_from(piece.len()).unwrap_or(limits::BULK);
                let header = FrameHeader { kind: FrameKind::Bulk, attachment, len };
                self.pending.extend_from_slice(&header.encode());
                let header = Bytes::from(std::mem::take(&mut self.pending));
                self.stream.write_all_chunks(&mut [header, piece]).await?;
            }
        }
        self.torn = false;
        Ok(())
    }

    /// Sends what was added and finishes the stream.
    pub(super) async fn finish(mut self) -> Result<(), Error> {
        self.flush().await?;
        // Fails only for a stream that is finished or reset already.
        let _ = self.stream.finish();
        Ok(())
    }

    /// Finishes the stream, and waits until the peer has all of it or wants no more: what closes the
    /// connection after that loses nothing.
    pub(super) async fn deliver(mut self) -> Result<(), Error> {
        self.flush().await?;
        let _ = self.stream.finish();
        let _ = self.stream.stopped().await;
        Ok(())
    }

    /// Abandons an unfinished message, so that the peer does not take it for a whole one.
    pub(super) fn reset(mut self, code: u32) {
        let _ = self.stream.reset(code.into());
    }

    pub(super) fn set_priority(&self, priority: i32) {
        let _ = self.stream.set_priority(priority);
    }
}
