//! What can go wrong between a folder and a finished item.

use std::borrow::Cow;
use std::path::PathBuf;

use super::Invalid;
use crate::blueprint::{Problem, folder, listed};
use crate::session::Interruption;
use crate::{schedulers, session};

/// A failure of loading a model or of generating with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request can't be met; the caller's fault.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Stopped on request.
    #[error(transparent)]
    Interrupted(#[from] Interruption),
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
    #[error("{}", listed(folder, problems))]
    Unfit {
        /// The folder.
        folder: PathBuf,
        /// All that is wrong with it.
        problems: Vec<Problem>,
    },
    /// The folder's components don't fit each other, or ask for what isn't supported.
    #[error("{place}: {reason}")]
    Model {
        /// The component or its file, such as `unet/config.json`.
        place: String,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
    /// What was prepared for another model, or started by another, can't be gone on with here.
    #[error("the request was prepared for another model: prepare it again")]
    Foreign,
    /// A run that was put aside can't be gone on with.
    #[error("what was kept of the run doesn't fit its request: {0}; start it anew")]
    Snapshot(String),
    /// A graph gave no numbers: half precision overflowed, and there is no graph in single that
    /// doesn't. Never returned as a result.
    #[error(
        "{graph} gave values that aren't numbers{}: it overflows; export it in float32", at(*step)
    )]
    NotANumber {
        /// The graph that overflowed.
        graph: Cow<'static, str>,
        /// The step that it was run for, from 1, and how many there are; none of a graph that runs
        /// once.
        step: Option<(usize, usize)>,
    },
    /// Predictions that are numbers have led out of what single precision holds.
    #[error(
        "the latents aren't numbers after step {} of {}: what {graph} predicts is too large for this \
         schedule; take a lower guidance_scale or another scheduler, or export {graph} in float32",
        step.0, step.1
    )]
    Diverged {
        /// The graph that predicts.
        graph: &'static str,
        /// The step, from 1, and how many there are.
        step: (usize, usize),
    },
}

fn at(step: Option<(usize, usize)>) -> String {
    step.map_or_else(String::new, |(step, steps)| format!(" at step {step} of {steps}"))
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
