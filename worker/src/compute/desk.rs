//! What the plan's numbers stand for, and the tasks that the threads have not taken yet.

use std::collections::{HashMap, VecDeque};

use hearth_inference::model::Model;
use tokio::sync::{oneshot, watch};

use super::item_data::ItemData;
use super::load_error::LoadError;
use super::order::Reply;
use super::plan::{ItemWork, Load, OrderId, Plan, Release, StepGroup, Work};
use super::task::{ComputeTask, EncodeTask, LoadTask, PrepareTask};
use crate::items::{ItemId, ItemView};
use crate::models::Facts;

pub(super) struct Desk {
    pub(super) plan: Plan,
    pub(super) items: HashMap<ItemId, ItemData>,
    pub(super) orders: HashMap<OrderId, Reply>,
    /// Models that compute has not taken over yet.
    pub(super) arrived: Vec<Arrival>,
    pub(super) compute: Option<ComputeTask>,
    pub(super) loader: Option<LoadTask>,
    pub(super) preparer: VecDeque<PrepareTask>,
    pub(super) encoder: VecDeque<EncodeTask>,
    /// Who waits for the models of the start.
    pub(super) start: Option<oneshot::Sender<Result<(), LoadError>>>,
    /// Why the model that was loaded last did not come, while that is told.
    pub(super) load_error: Option<LoadError>,
    pub(super) is_stopped: bool,
}

/// A model that was loaded, by its name.
pub(super) type Arrival = (String, Box<dyn Model>);

/// What a caller gets of an item.
pub(super) type Watch = (ItemId, watch::Receiver<ItemView>);

impl Desk {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            items: HashMap::new(),
            orders: HashMap::new(),
            arrived: Vec::new(),
            compute: None,
            loader: None,
            preparer: VecDeque::new(),
            encoder: VecDeque::new(),
            start: None,
            load_error: None,
            is_stopped: false,
        }
    }

    pub(super) fn watch(&self, id: ItemId) -> Option<Watch> {
        self.items.get(&id).map(|data| (id, data.view.subscribe()))
    }

    pub(super) fn publish(&self, id: ItemId) {
        if let (Some(data), Some(view)) = (self.items.get(&id), self.plan.items().view(id)) {
            data.view.send_replace(view.clone());
        }
    }

    pub(super) fn end_start(&mut self, outcome: Result<(), LoadError>) {
        if let Some(start) = self.start.take() {
            let _ = start.send(outcome);
        }
    }

    pub(super) fn compute_task(&mut self, work: Work) -> ComputeTask {
        let interrupt = |id: ItemId| self.items.get(&id).map(ItemData::switch).unwrap_or_default();
        match work {
            Work::Item(ItemWork::Start(item)) => {
                let spec = self.plan.items().spec(item);
                let seed = spec.map_or(0, |spec| spec.seed.wrapping_add(spec.key.index.into()));
                let model = spec.map(|spec| spec.model.clone()).unwrap_or_default();
                let prepared = self.items.get(&item).and_then(|data| data.prepared.clone());
                ComputeTask::Start { item, model, prepared, seed, interrupt: interrupt(item) }
            }
            Work::Item(ItemWork::Step(StepGroup(ids))) => {
                ComputeTask::Step(ids.into_iter().map(|id| (id, interrupt(id))).collect())
            }
            Work::Item(ItemWork::Preview(item)) => {
                ComputeTask::Preview { item, interrupt: interrupt(item) }
            }
            Work::Item(ItemWork::Finish(item)) => {
                ComputeTask::Finish { item, interrupt: interrupt(item) }
            }
            Work::Discard(item) => ComputeTask::Discard(item),
            Work::Infer(order) => ComputeTask::Infer(match self.orders.remove(&order) {
                Some(Reply::Infer(infer, caller)) => Some((infer, caller)),
                Some(Reply::Loaded(_) | Reply::Freed(_) | Reply::Awake(_) | Reply::Profile(..))
                | None => None,
            }),
            Work::Release(Release { models, uncache, .. }) => {
                ComputeTask::Release { models, uncache }
            }
        }
    }

    pub(super) fn load_task(&mut self, load: Load) -> LoadTask {
        let Load { model, path, progress, profile } = load;
        let profile = match profile.and_then(|order| self.orders.remove(&order)) {
            Some(Reply::Profile(profile, caller)) => Some((profile, caller)),
            Some(Reply::Loaded(_) | Reply::Freed(_) | Reply::Awake(_) | Reply::Infer(..))
            | None => None,
        };
        LoadTask { model, path, progress, profile }
    }

    pub(super) fn prepare(&mut self, item: ItemId, facts: Facts) {
        if let Some(args) = self.items.get(&item).and_then(ItemData::args) {
            self.preparer.push_back(PrepareTask { item, args, facts });
        }
    }

    pub(super) fn encode(&mut self, item: ItemId) {
        let times = self.plan.items().times(item);
        let model = self.plan.items().spec(item).map(|spec| spec.model.clone());
        let Some(data) = self.items.get_mut(&item) else { return };
        if let (Some(args), Some(result), Some(model)) = (data.args(), data.result.take(), model) {
            self.encoder.push_back(EncodeTask { item, args, model, result, times });
        }
    }
}
