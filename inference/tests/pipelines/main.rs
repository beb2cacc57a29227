//! Pipelines over the real ONNX Runtime and real model folders.
//!
//! The library is taken from `HEARTH_TEST_ORT`, or from `.deps/onnxruntime` at the root of the
//! repository.

mod bad_folders;
mod bad_libraries;
mod bad_requests;
mod driving;
mod support;
mod vectors;
