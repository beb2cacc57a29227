//! The numerics: pipelines, schedulers, noise, tokenizers, model folders and ONNX sessions.
//!
//! Nothing here knows the network. `schedulers`, `noise` and `tokenizers` are pure; `folder` reads
//! files; ONNX Runtime lives in `session` alone; `pipelines` put the parts together step by step.

mod brief;
mod files;
mod findings;
pub mod folder;
mod nearest;
pub mod noise;
pub mod pipelines;
pub mod progress;
pub mod schedulers;
pub mod session;
pub mod tokenizers;

pub use findings::{Part, Problem};
pub use pipelines::Error;
