//! Bounds on what a peer may send. Each is checked before memory is taken.

pub use hearth_api::limits::PAYLOAD;

/// Longest structured frame, in bytes.
pub const STRUCTURED: u32 = 1 << 20;

/// Longest bulk frame, in bytes; a longer attachment is sent as several.
pub const BULK: u32 = 1 << 20;

/// Most attachments of one message.
pub const ATTACHMENTS: usize = 64;

/// Deepest nesting of a structured frame.
pub const DEPTH: usize = 32;
