//! What callers order besides items, and where the outcome goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_api::CallError;
use hearth_api::tensor::TensorHeader;
use hearth_inference::model::PreparedRequest;
use hearth_inference::session::{Interrupt, RawOutput};
use tokio::sync::oneshot;

use super::guard::own_fault;
use super::plan::{Answer, FreedMemory};

/// Where an order's outcome goes.
pub(crate) type Sender<T> = oneshot::Sender<Result<T, CallError>>;

/// An order as its caller gave it, until its outcome is known.
pub(crate) enum Reply {
    /// Whether a model had to be loaded.
    Loaded(Sender<bool>),
    /// What was given back.
    Freed(Sender<FreedMemory>),
    /// The models that a waking brought back.
    Awake(Sender<Vec<String>>),
    Infer(Infer, Sender<InferOutput>),
    Profile(Arc<Profile>, Sender<Profiles>),
}

impl Reply {
    /// Tells the caller. One that has gone isn't told.
    pub(super) fn answer(self, answer: Result<Answer, CallError>) {
        match (self, answer) {
            (Self::Loaded(caller), Ok(Answer::Loaded(loaded))) => drop(caller.send(Ok(loaded))),
            (Self::Freed(caller), Ok(Answer::Freed(freed))) => drop(caller.send(Ok(freed))),
            (Self::Awake(caller), Ok(Answer::Awake(models))) => drop(caller.send(Ok(models))),
            (reply, Err(error)) => reply.refuse(error),
            (reply, Ok(Answer::Loaded(_) | Answer::Freed(_) | Answer::Awake(_))) => {
                reply.refuse(own_fault());
            }
        }
    }

    fn refuse(self, error: CallError) {
        match self {
            Self::Loaded(caller) => drop(caller.send(Err(error))),
            Self::Freed(caller) => drop(caller.send(Err(error))),
            Self::Awake(caller) => drop(caller.send(Err(error))),
            Self::Infer(_, caller) => drop(caller.send(Err(error))),
            Self::Profile(_, caller) => drop(caller.send(Err(error))),
        }
    }
}

/// Tensors for a graph.
pub(crate) struct Infer {
    pub(crate) model: String,
    pub(crate) graph: Option<String>,
    pub(crate) inputs: Vec<(String, TensorHeader, Bytes)>,
    /// All where it is empty.
    pub(crate) outputs: Vec<String>,
    pub(crate) interrupt: Interrupt,
}

/// What a graph made of them.
pub(crate) struct InferOutput {
    pub(crate) graph: String,
    pub(crate) outputs: Vec<RawOutput>,
    pub(crate) took: Duration,
}

/// What is made while a model is profiled.
pub(crate) struct Profile {
    pub(crate) model: String,
    pub(crate) prepared: PreparedRequest,
    pub(crate) interrupt: Interrupt,
}

/// The profiles of a generation.
pub(crate) struct Profiles {
    /// Each graph's name, and its profile as JSON.
    pub(crate) files: Vec<(String, Bytes)>,
    pub(crate) steps: usize,
    pub(crate) took: Duration,
}
