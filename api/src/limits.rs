//! Bounds on requests, tensors and errors. Each is checked before memory is taken.

/// Most attachment bytes of one message, all attachments together.
pub const PAYLOAD: u64 = 256 << 20;

/// Most bytes of one file that a request brings along.
pub const INPUT: u64 = 32 << 20;

/// Most control images of one request.
pub const CONTROL_IMAGES: usize = 8;

/// Most dimensions of a tensor.
pub const TENSOR_RANK: usize = 8;

/// Longest prompt, in characters.
pub const PROMPT_CHARS: usize = 10_000;

/// Most entries of a list of timesteps or sigmas.
pub const STEPS: usize = 1000;

/// Most images of one request.
pub const IMAGES: u32 = 64;

/// Workers that may be lost to one request before it is quarantined.
pub const LOST_WORKERS: usize = 2;

/// Most entries of a request's `metadata`, and the most bytes of one entry.
pub const METADATA: (usize, usize) = (32, 1024);

/// Longest text of an error, in bytes; what a peer's own words make longer loses its middle.
pub const ERROR_TEXT: usize = 2048;

/// Most causes of an error.
pub const ERROR_CAUSES: usize = 16;
