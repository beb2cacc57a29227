//! How a stream is cut into frames: eight bytes of header, then the payload.
//!
//! ```text
//! byte 0      kind
//! byte 1      0, reserved
//! bytes 2..4  attachment index, big endian; 0 unless the kind is bulk
//! bytes 4..8  payload length in bytes, big endian
//! ```
//!
//! A call's stream carries, from the caller: `Request`, `Bulk`…, `End`; from the worker:
//! `Accepted`, then `Progress` and `Preview` (with its `Bulk`) in any number, then `Reply`,
//! `Bulk`…, `Trailer`, `End`. A stream that finishes before its `End` was cut off.

use crate::limits;

/// Length of a header, in bytes.
pub const HEADER_LEN: usize = 8;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// [`Hello`](crate::version::Hello).
    Hello,
    /// [`Welcome`](crate::version::Welcome).
    Welcome,
    /// [`Request`](crate::message::Request).
    Request,
    /// [`Accepted`](crate::message::Accepted).
    Accepted,
    /// [`Progress`](crate::message::Progress).
    Progress,
    /// [`Preview`](crate::message::Preview).
    Preview,
    /// [`Reply`](crate::message::Reply).
    Reply,
    /// Raw bytes of an attachment.
    Bulk,
    /// [`Trailer`](crate::message::Trailer).
    Trailer,
    /// The message is whole; no payload.
    End,
}

impl FrameKind {
    /// All kinds, in the order of their bytes from 1.
    pub const ALL: [Self; 10] = [
        Self::Hello,
        Self::Welcome,
        Self::Request,
        Self::Accepted,
        Self::Progress,
        Self::Preview,
        Self::Reply,
        Self::Bulk,
        Self::Trailer,
        Self::End,
    ];

    fn byte(self) -> u8 {
        self as u8 + 1
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }

    /// The longest payload of this kind, in bytes.
    #[must_use]
    pub fn limit(self) -> u32 {
        match self {
            Self::Bulk => limits::BULK,
            Self::End => 0,
            _ => limits::STRUCTURED,
        }
    }
}

/// A frame's header, checked against the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame carries.
    pub kind: FrameKind,
    /// Which attachment a bulk frame belongs to.
    pub attachment: u16,
    /// Payload length in bytes.
    pub len: u32,
}

/// Why eight bytes are not a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No kind has this byte.
    #[error("frame kind {0} is unknown")]
    UnknownKind(u8),
    /// The reserved byte, or the attachment index of a frame that has none, is not zero.
    #[error("reserved header bytes of a {0:?} frame are not zero")]
    Reserved(FrameKind),
    /// The payload is longer than its kind allows.
    #[error("{kind:?} frame of {len} bytes is longer than {} bytes", kind.limit())]
    TooLong {
        /// The frame's kind.
        kind: FrameKind,
        /// The declared length.
        len: u32,
    },
}

impl FrameHeader {
    /// A header of a frame that is not bulk.
    #[must_use]
    pub fn new(kind: FrameKind, len: u32) -> Self {
        Self { kind, attachment: 0, len }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let [a0, a1] = self.attachment.to_be_bytes();
        let [l0, l1, l2, l3] = self.len.to_be_bytes();
        [self.kind.byte(), 0, a0, a1, l0, l1, l2, l3]
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// [`FrameError`], before any payload is read or memory for it taken.
    pub fn decode(bytes: [u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let [kind, reserved, a0, a1, l0, l1, l2, l3] = bytes;
        let kind = FrameKind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
        let attachment = u16::from_be_bytes([a0, a1]);
        let len = u32::from_be_bytes([l0, l1, l2, l3]);
        if reserved != 0 || (kind != FrameKind::Bulk && attachment != 0) {
            return Err(FrameError::Reserved(kind));
        }
        if len > kind.limit() {
            return Err(FrameError::TooLong { kind, len });
        }
        Ok(Self { kind, attachment, len })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn four_gibibytes_are_refused_from_the_header_alone() {
        let mut bytes = FrameHeader::new(FrameKind::Reply, 0).encode();
        bytes[4..].fill(0xff);
        assert!(matches!(FrameHeader::decode(bytes), Err(FrameError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes: [u8; HEADER_LEN]) {
            if let Ok(header) = FrameHeader::decode(bytes) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }
}
