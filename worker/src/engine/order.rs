//! What the engine is told to do besides parts, and when the time for it has come.

use bytes::Bytes;
use hearth_api::CallError;
use hearth_api::tensor::TensorHeader;
use hearth_inference::model::{Model, PreparedRequest};
use hearth_inference::session::{Interrupt, RawOutput};
use tokio::sync::oneshot;

use super::LoadError;
use crate::parts::Table;

/// Where an order's outcome goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, CallError>>;

/// One thing to do, between two steps.
pub(crate) enum Order {
    /// Bring a model into memory; says whether that was needed.
    Load {
        name: String,
        /// The call has added the model, so that a failure forgets it.
        added: bool,
        reply: Reply<bool>,
    },
    /// Drop a model.
    Unload { name: String, reply: Reply<Freed> },
    /// Drop all models until the worker is woken.
    Sleep { level: u8, reply: Reply<Freed> },
    /// Bring them back; says which.
    Wake { reply: Reply<Vec<String>> },
    /// Run a graph.
    Infer(Box<Infer>),
    /// Profile a model.
    Profile(Box<Profile>),
    /// The loader has done its work.
    Loaded { name: String, outcome: Result<Box<dyn Model>, LoadError> },
    /// The same, with a profile.
    Profiled {
        name: String,
        outcome: Result<Box<dyn Model>, LoadError>,
        profile: Result<Profiles, CallError>,
        reply: Reply<Profiles>,
    },
}

impl Order {
    /// Whether it can be done now. What takes a model away waits for the parts that need it.
    pub(crate) fn is_due(&self, table: &Table) -> bool {
        match self {
            Self::Sleep { .. } => !table.is_busy(),
            Self::Unload { name, .. } => !table.uses(name),
            Self::Profile(profile) => !table.uses(&profile.model),
            Self::Load { .. }
            | Self::Wake { .. }
            | Self::Infer(_)
            | Self::Loaded { .. }
            | Self::Profiled { .. } => true,
        }
    }
}

/// Memory that was given back, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    /// Of the process.
    pub(crate) resident: u64,
    /// Weights that were in the device's own memory.
    pub(crate) device: u64,
}

/// Tensors for a graph.
pub(crate) struct Infer {
    pub(crate) model: String,
    pub(crate) graph: Option<String>,
    pub(crate) inputs: Vec<(String, TensorHeader, Bytes)>,
    /// All where it is empty.
    pub(crate) outputs: Vec<String>,
    pub(crate) interrupt: Interrupt,
    pub(crate) reply: Reply<Inferred>,
}

/// What a graph made of them.
pub(crate) struct Inferred {
    pub(crate) graph: String,
    pub(crate) outputs: Vec<RawOutput>,
    pub(crate) took: std::time::Duration,
}

/// What is made while a model is profiled.
pub(crate) struct Profile {
    pub(crate) model: String,
    pub(crate) prepared: PreparedRequest,
    pub(crate) interrupt: Interrupt,
    pub(crate) reply: Reply<Profiles>,
}

/// The profiles of a generation.
pub(crate) struct Profiles {
    /// Each graph's name, and its profile as JSON.
    pub(crate) files: Vec<(String, Bytes)>,
    pub(crate) steps: usize,
    pub(crate) took: std::time::Duration,
}
