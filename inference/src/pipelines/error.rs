//! What can go wrong on the way to a picture.

use std::path::PathBuf;

use super::Invalid;
use crate::findings::Problem;
use crate::session::Interrupted;
use crate::{folder, schedulers, session};

/// A failure of loading a pipeline or of making a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request can't be met; the caller's fault.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Stopped on request.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The model folder can't be used.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// ONNX Runtime, a graph or a device failed.
    #[error(transparent)]
    Session(session::Error),
    /// The folder's scheduler config can't be used.
    #[error("scheduler/scheduler_config.json can't be used")]
    Scheduler(#[source] schedulers::Error),
    /// The folder's tokenizer can't be used.
    #[error("the tokenizer can't be used")]
    Tokenizer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The folder was looked at and can't be used.
    #[error("{}", super::survey::listed(folder, problems))]
    Unfit {
        /// The folder.
        folder: PathBuf,
        /// All that is wrong with it.
        problems: Vec<Problem>,
    },
    /// The folder's parts don't fit each other, or ask for what isn't supported.
    #[error("{part}: {reason}")]
    Model {
        /// The part, such as `unet/config.json`.
        part: String,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
    /// A graph gave no numbers: half precision overflowed, and there is no graph in single that
    /// doesn't. Never returned as a result.
    #[error("{part} gave values that aren't numbers: it overflows; export it in float32")]
    NotANumber {
        /// The part that overflowed.
        part: &'static str,
    },
}

impl From<session::Error> for Error {
    /// An interruption is one wherever it was noticed.
    fn from(error: session::Error) -> Self {
        match error {
            session::Error::Interrupted(interrupted) => Self::Interrupted(interrupted),
            other => Self::Session(other),
        }
    }
}
