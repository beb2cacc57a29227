//! What the threads are given: a command of the plan, with what its numbers stand for.

use std::path::PathBuf;
use std::sync::Arc;

use hearth_inference::model::{Output, PreparedRequest};
use hearth_inference::progress::Progress;
use hearth_inference::session::Interrupt;
use hearth_protocol::methods::GenerateArgs;

use super::order::{Infer, InferOutput, Profile, Profiles, Sender};
use super::plan::PreparationFacts;
use crate::items::{ItemId, Times};
use crate::models::Facts;

/// For the thread that computes.
pub(super) enum ComputeTask {
    Start {
        item: ItemId,
        model: String,
        prepared: Option<Arc<Preparation>>,
        seed: u64,
        interrupt: Interrupt,
    },
    Step(Vec<(ItemId, Interrupt)>),
    Preview {
        item: ItemId,
        interrupt: Interrupt,
    },
    Finish {
        item: ItemId,
        interrupt: Interrupt,
    },
    Discard(ItemId),
    /// None where its caller has gone.
    Infer(Option<(Infer, Sender<InferOutput>)>),
    Release {
        models: Vec<String>,
        /// Folders whose files need not stay in the system's cache.
        uncache: Vec<PathBuf>,
    },
}

/// For the thread that loads.
pub(super) struct LoadTask {
    pub(super) model: String,
    pub(super) path: PathBuf,
    pub(super) progress: Progress,
    /// A profile to be made first.
    pub(super) profile: Option<(Arc<Profile>, Sender<Profiles>)>,
}

/// For the thread that prepares requests which came before their model.
pub(super) struct PrepareTask {
    pub(super) item: ItemId,
    pub(super) args: Arc<GenerateArgs>,
    pub(super) facts: Facts,
}

/// For the thread that encodes.
pub(super) struct EncodeTask {
    pub(super) item: ItemId,
    pub(super) args: Arc<GenerateArgs>,
    pub(super) model: String,
    pub(super) result: RunResult,
    pub(super) times: Times,
}

/// What compute made of an item.
pub(super) struct RunResult {
    pub(super) output: Output,
    pub(super) steps: usize,
    /// Of the model.
    pub(super) digest: String,
}

/// A prepared request, which its items share.
#[derive(Debug)]
pub(crate) struct Preparation {
    pub(crate) prepared: PreparedRequest,
    /// Of the model that it was prepared for.
    pub(crate) digest: String,
}

impl Preparation {
    /// What the plan knows of it.
    pub(super) fn prepared_for(&self) -> PreparationFacts {
        PreparationFacts { digest: self.digest.clone(), shares: self.prepared.shares().cloned() }
    }
}
