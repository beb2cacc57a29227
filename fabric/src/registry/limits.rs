//! Bounds of what a registry holds.

/// Most workers that a view holds; further ones are skipped with a warning.
pub const MAX_WORKERS: usize = 10_000;
/// Longest record, bytes of JSON; longer ones are refused, and skipped where they are read.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
