//! Prompt tokenizers, read from a model folder's own files.
//!
//! Here is CLIP's; T5's has no place yet.

mod basic;
mod clip;
mod error;
mod special;

pub use clip::{Clip, Encoded};
pub use error::Error;
