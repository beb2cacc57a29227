//! Why a model can't be served.

use std::path::PathBuf;

use hearth_api::{CallError, ErrorKind};
use hearth_inference::{model, session};

/// Why a model can't be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// ONNX Runtime can't be had.
    #[error("runtime.library: ONNX Runtime can't be loaded")]
    Runtime(#[source] session::Error),
    /// The model's folder can't be.
    #[error("model {name} ({path})")]
    Model {
        /// The model's name.
        name: String,
        /// Its folder.
        path: PathBuf,
        /// The reason.
        source: Box<model::Error>,
    },
    /// A fault of the program.
    #[error("the loader failed by a fault of its own: the worker's log says more")]
    Panicked,
}

impl From<&LoadError> for CallError {
    fn from(error: &LoadError) -> Self {
        Self::new(ErrorKind::ModelFailed, "the model can't be loaded").caused_by(error)
    }
}
