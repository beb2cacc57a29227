//! The numerics: pipelines, schedulers, noise, tokenizers, model folders and ONNX sessions.
//!
//! Nothing here knows the network. `schedulers`, `noise` and `tokenizers` are pure; ONNX Runtime
//! lives in `session` alone; `pipelines` put the parts together step by step.

pub mod noise;
pub mod schedulers;
pub mod tokenizers;
