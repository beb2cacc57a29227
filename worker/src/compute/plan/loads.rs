//! What the loader has to do, one model after another, and which orders wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use hearth_api::{CallError, ErrorKind};
use hearth_inference::progress::Progress;

use super::orders::OrderId;

/// Most orders that wait for models at a time.
const ASKERS: usize = 256;

/// The loader's queue; each model is in it once.
#[derive(Default)]
pub(super) struct Loads {
    waiting: VecDeque<Load>,
    /// What the loader is at.
    busy: Option<String>,
    askers: BTreeMap<String, Vec<Asker>>,
}

/// One thing for the loader to do.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) model: String,
    /// Its folder.
    pub(crate) path: PathBuf,
    /// How much of it is read.
    pub(crate) progress: Progress,
    /// Whose profile is made first.
    pub(crate) profile: Option<OrderId>,
}

/// An order that waits for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// It asked for the model itself.
    Load {
        order: OrderId,
        /// The call has added the model, so that a failure forgets it.
        added: bool,
    },
    /// It is to run one of the model's graphs.
    Infer(OrderId),
}

impl Asker {
    pub(super) fn order(self) -> OrderId {
        match self {
            Self::Load { order, .. } | Self::Infer(order) => order,
        }
    }
}

impl Loads {
    /// Whether a model is being loaded, or will be.
    pub(super) fn has(&self, model: &str) -> bool {
        let busy = self.busy.iter().map(String::as_str);
        busy.chain(self.waiting.iter().map(|load| load.model.as_str())).any(|name| name == model)
    }

    pub(super) fn push(&mut self, load: Load) {
        self.waiting.push_back(load);
    }

    /// Fails where no further order can wait for a model.
    ///
    /// # Errors
    /// `queue_full`.
    pub(super) fn check_room(&self) -> Result<(), CallError> {
        if self.askers.values().map(Vec::len).sum::<usize>() < ASKERS {
            return Ok(());
        }
        let message = format!("{ASKERS} calls wait for models, the most at once: try again later");
        Err(CallError::new(ErrorKind::QueueFull, message))
    }

    /// Has an order wait for a model.
    pub(super) fn ask(&mut self, model: &str, asker: Asker) {
        self.askers.entry(model.to_owned()).or_default().push(asker);
    }

    /// The next thing to do, where the loader is idle.
    pub(super) fn next(&mut self) -> Option<Load> {
        if self.busy.is_some() {
            return None;
        }
        let load = self.waiting.pop_front()?;
        self.busy = Some(load.model.clone());
        Some(load)
    }

    /// The loader is done with a model. Gives the orders that waited for it.
    pub(super) fn done(&mut self, model: &str) -> Vec<Asker> {
        self.busy.take_if(|busy| busy == model);
        self.askers.remove(model).unwrap_or_default()
    }

    /// Takes a graph's order back that waits for a model.
    pub(super) fn withdraw(&mut self, order: OrderId) -> bool {
        self.askers.values_mut().any(|askers| {
            let position = askers.iter().position(|asker| *asker == Asker::Infer(order));
            position.map(|position| askers.remove(position)).is_some()
        })
    }

    /// Nothing is begun any more. Gives all orders that wait, also those to profile.
    pub(super) fn clear(&mut self) -> Vec<OrderId> {
        let profiles =
            std::mem::take(&mut self.waiting).into_iter().filter_map(|load| load.profile);
        let askers = std::mem::take(&mut self.askers).into_values().flatten().map(Asker::order);
        profiles.chain(askers).collect()
    }
}
