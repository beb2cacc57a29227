//! What can go wrong between us and ONNX Runtime.

use std::path::PathBuf;

/// A failure of the ONNX Runtime library, a session or a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No library was found.
    #[error(
        "no ONNX Runtime library (libonnxruntime.so, 1.{minimum} or newer) in {searched}; \
         set [runtime] library to its path"
    )]
    LibraryNotFound {
        /// Where it was looked for.
        searched: String,
        /// The lowest minor version that will do.
        minimum: u32,
    },
    /// The file isn't a whole shared library.
    #[error("{} is not a whole shared library: {reason}; fetch ONNX Runtime again", path.display())]
    LibraryDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The library refused to load.
    #[error("ONNX Runtime can't be loaded from {}: {reason}", path.display())]
    LibraryRefused {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// A process loads one library, and it has loaded another one.
    #[error(
        "ONNX Runtime is already loaded from {}, so {} can't be; start another process",
        loaded.display(), asked.display()
    )]
    AlreadyLoaded {
        /// The one in use.
        loaded: PathBuf,
        /// The one asked for.
        asked: PathBuf,
    },
    /// The device's name is none we know.
    #[error("device {name:?} is unknown; known: cpu, cuda:I (I is the GPU's number, from 0)")]
    UnknownDevice {
        /// The name as given.
        name: String,
    },
    /// The execution provider can't start; there is no silent fall-back to the CPU.
    #[error("device {device} can't be used: {reason}")]
    DeviceRefused {
        /// The device asked for.
        device: String,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// A file can't be read.
    #[error("{} can't be read{}", path.display(), crate::files::right(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The model file, or one it refers to, is truncated or unsafe.
    #[error("{}: {reason}", path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
    /// ONNX Runtime refused the graph.
    #[error("{} can't be loaded by ONNX Runtime: {reason}", path.display())]
    GraphRefused {
        /// The model file.
        path: PathBuf,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// The graph lacks an input or output, or has it in a form that isn't supported.
    #[error("{graph}: {reason}")]
    Port {
        /// The graph's name, such as `unet`.
        graph: String,
        /// What is wrong with which input or output.
        reason: String,
    },
    /// A tensor that a caller gave is not what the graph takes.
    #[error("{graph}: input {name}: {reason}")]
    Input {
        /// The graph's name.
        graph: String,
        /// The input.
        name: String,
        /// What is wrong with it, and what the graph takes.
        reason: String,
    },
    /// A caller's run gave more than can be sent back.
    #[error("{graph}: its outputs have more than {limit} bytes: ask for fewer of them")]
    OutputTooLarge {
        /// The graph's name.
        graph: String,
        /// Bytes that there may be.
        limit: u64,
    },
    /// A run failed.
    #[error("{graph}: the ONNX session failed: {reason}")]
    Run {
        /// The graph's name.
        graph: String,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// The run was stopped on request.
    #[error(transparent)]
    Interrupted(#[from] Interruption),
}

/// The generation was stopped by its [`Interrupt`](super::Interrupt).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the generation was interrupted")]
pub struct Interruption;
