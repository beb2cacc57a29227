//! One model: what it is called, where it lies, whether it is in memory.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use hearth_api::CallError;
use hearth_inference::model::{self, Description, Prepare};
use hearth_inference::progress::Progress;

/// A model by its name.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// The name that requests use.
    pub(crate) name: String,
    /// Other names for it.
    pub(crate) aliases: Vec<String>,
    /// Its folder.
    pub(crate) path: PathBuf,
    /// Whether the config names it; others are forgotten when they are unloaded.
    pub(crate) configured: bool,
    /// Times that it could not be loaded since it was last.
    pub(crate) failures: u32,
    pub(crate) residency: Residency,
}

/// Whether a model is in memory.
#[derive(Debug, Clone)]
pub(crate) enum Residency {
    /// It is read when it is first asked for.
    OnDemand,
    /// It is being read.
    Loading(Progress),
    /// It takes requests.
    Ready(Facts),
    /// It finishes what it has, and takes nothing new meanwhile.
    Reserved(Facts, Reservation),
    /// It was taken out of memory, and is to come back.
    Evicted(Facts),
    /// It can't be read.
    Failed { error: CallError, again_at: Instant },
    /// It was taken out by `unload_model`.
    Unloaded,
}

/// What a model takes nothing new for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reservation {
    /// It is to leave memory.
    Unload,
    /// It is to be profiled.
    Profile,
}

/// What is known of a model once it was loaded, for those who ask while it computes.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) description: Arc<Description>,
    /// None for a model that generates nothing.
    pub(crate) preparer: Option<Arc<dyn Prepare>>,
}

impl Facts {
    pub(crate) fn of(model: &dyn model::Model) -> Self {
        let description = Arc::clone(model.description());
        Self { description, preparer: model.preparer() }
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description.fmt(f)
    }
}

impl Residency {
    /// What is known of the model.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Ready(facts) | Self::Reserved(facts, _) | Self::Evicted(facts) => Some(facts),
            Self::OnDemand | Self::Loading(_) | Self::Failed { .. } | Self::Unloaded => None,
        }
    }

    /// Whether the model can compute.
    pub(crate) fn is_resident(&self) -> bool {
        match self {
            Self::Ready(_) | Self::Reserved(..) => true,
            Self::OnDemand
            | Self::Loading(_)
            | Self::Evicted(_)
            | Self::Failed { .. }
            | Self::Unloaded => false,
        }
    }
}

impl Model {
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}
