//! Pipelines over the real ONNX Runtime and real model folders.
//!
//! The library is taken from `HEARTH_TEST_ORT`, or from `.deps/onnxruntime` at the root of the
//! repository.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests are tests too, and print what they measured"
)]

mod bad_folders;
mod bad_libraries;
mod bad_requests;
mod built_in;
mod control;
mod driving;
mod experts;
mod exports;
mod families;
mod half;
mod links;
mod lora;
mod mixed;
mod prompts;
mod resuming;
mod signatures;
mod spoiled;
mod support;
mod surgery;
mod tiles;
mod together;
mod variants;
mod vectors;
