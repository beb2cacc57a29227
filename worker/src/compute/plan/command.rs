//! What the plan has others do, and what it learns of that.

use std::path::PathBuf;
use std::time::Duration;

use hearth_api::{CallError, ErrorKind};
use hearth_inference::model::BatchKey;
use hearth_protocol::record::WorkerState;

use super::loads::Load;
use super::orders::{FreedMemory, OrderId};
use crate::items::{ItemId, Outcome, PreviewImage};
use crate::models::{Facts, Model};

/// Something to be done. Each is for one pair of hands; compute and the loader have one at a time.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// For compute.
    Compute(Work),
    /// For the loader.
    Load(Load),
    /// For whoever prepares requests: this item's, for the model as it is now.
    Prepare { item: ItemId, facts: Facts },
    /// For the encoder.
    Encode(ItemId),
    /// An item that compute is at is to stop.
    Interrupt(ItemId),
    /// An item looks different to its callers.
    Publish(ItemId),
    /// An item has ended, so long after it came: in a result, or an error of this kind.
    End { item: ItemId, error: Option<ErrorKind>, after: Duration },
    /// Compute is no longer at an item that has ended before.
    Leave(ItemId),
    /// An item was forgotten.
    Forget(ItemId),
    /// An order's outcome.
    Answer(OrderId, Result<Answer, CallError>),
    /// The models of the start are there.
    Started,
    /// A model of the start can't be loaded: the worker can't go on.
    Abort,
    /// What the worker is has changed.
    Announce(WorkerState),
    /// The list of models has changed.
    ModelsChanged,
    /// All threads may end.
    Stop,
}

/// What compute does at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    Item(ItemWork),
    /// Drop the run of an item that has ended.
    Discard(ItemId),
    /// Run a graph, and tell its caller.
    Infer(OrderId),
    /// Drop models.
    Release(Release),
}

/// One piece of an item's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemWork {
    Start(ItemId),
    Step(StepGroup),
    Preview(ItemId),
    Finish(ItemId),
}

/// Items that take a step together: of one model, with one batch key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepGroup(pub(crate) Vec<ItemId>);

/// Models to be dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) models: Vec<String>,
    /// Folders whose files need not stay in the system's cache either.
    pub(crate) uncache: Vec<PathBuf>,
    /// Who is told what it gave back.
    pub(crate) order: Option<OrderId>,
}

/// What callers ask of compute besides items.
#[derive(Debug, Clone)]
pub(crate) enum OrderRequest {
    /// Bring a model into memory: one that is listed, or one that the call adds.
    Load { model: String, added: Option<Box<Model>> },
    /// Drop a model once its items have ended. One that isn't in memory needs no order.
    Unload { model: String },
    /// Take nothing new from now on, and drop all models once the accepted items have ended.
    Sleep { level: u8 },
    /// End a sleep, also one that has not begun, and bring back the models that it took.
    Wake,
    /// Run a graph of a model, which is loaded first where it isn't in memory.
    Infer { model: String },
    /// Profile a model once its items have ended.
    Profile { model: String },
}

/// How an order went well. What a graph or a profile gave goes to its caller straight away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Whether a model had to be loaded.
    Loaded(bool),
    /// What unloading or sleep gave back.
    Freed(FreedMemory),
    /// The models that a waking brought back.
    Awake(Vec<String>),
}

/// What the hands have done, or the clock.
#[derive(Debug)]
pub(crate) enum Event {
    Started {
        item: ItemId,
        outcome: Result<RunStatus, RunError>,
    },
    Stepped {
        outcomes: Vec<(ItemId, Result<RunStatus, RunError>)>,
        took: Duration,
    },
    Previewed {
        item: ItemId,
        preview: Option<PreviewImage>,
    },
    Finished {
        item: ItemId,
        outcome: Result<(), RunError>,
    },
    Discarded,
    Inferred,
    Released(FreedMemory),
    Prepared {
        item: ItemId,
        outcome: Result<PreparationFacts, CallError>,
    },
    Encoded {
        item: ItemId,
        outcome: Outcome,
    },
    Loaded {
        model: String,
        outcome: Result<Facts, CallError>,
    },
    /// Time has passed.
    Tick,
}

/// What a request was prepared for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreparationFacts {
    /// The digest of the model.
    pub(crate) digest: String,
    /// What its runs have in common with those that they can share steps with; none for those that
    /// are computed alone.
    pub(crate) shares: Option<BatchKey>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunStatus {
    pub(crate) step: usize,
    pub(crate) steps: usize,
    pub(crate) batch_key: Option<BatchKey>,
    pub(crate) is_done: bool,
}

/// Why a run did not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunError {
    /// Its interrupt was thrown.
    Interrupted,
    /// It failed.
    Failed(CallError),
}
