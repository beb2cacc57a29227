//! Prompt tokenizers, read from a model folder's own files.
//!
//! CLIP's is written out here; T5's is a `tokenizer.json` that the `tokenizers` crate runs, and so
//! is CLIP's where its folder has no more than that.

mod basic;
mod clip;
mod error;
mod learned;
mod special;
mod t5;
mod tokens;
mod whole;

pub use clip::Clip;
pub use error::Error;
pub use t5::T5;
pub use tokens::Tokens;
