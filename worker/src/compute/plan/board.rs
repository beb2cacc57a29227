//! All that the plan knows, and the moves that its rules are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use hearth_api::{CallError, ErrorKind};
use hearth_inference::model::BatchKey;
use hearth_inference::progress::Progress;
use hearth_protocol::message::Phase;

use super::command::{Answer, Command, PreparationFacts, RunError, Work};
use super::entry::{Lane, Stage};
use super::lifecycle::Lifecycle;
use super::line::{Line, Turn};
use super::loads::{Load, Loads};
use super::orders::{OrderId, Orders};
use super::rates::StepRates;
use crate::items::{ItemId, Items, StopOutcome};
use crate::models::{Facts, Models, Residency};

pub(super) struct Board {
    pub(super) life: Lifecycle,
    pub(super) items: Items,
    pub(super) models: Models,
    pub(super) line: Line,
    pub(super) orders: Orders,
    pub(super) loads: Loads,
    /// What compute is at.
    pub(super) busy: Option<Work>,
    /// Models that came while the worker slept, and are to be dropped again.
    pub(super) unwanted: Vec<String>,
    /// What unfinished items are prepared for.
    pub(super) prepared: BTreeMap<ItemId, PreparationFacts>,
    /// Items whose requests are being prepared.
    pub(super) preparing: BTreeSet<ItemId>,
    /// How much steps gain by being shared.
    pub(super) rates: StepRates,
    pub(super) commands: Vec<Command>,
}

impl Board {
    pub(super) fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub(super) fn answer(&mut self, order: OrderId, answer: Result<Answer, CallError>) {
        self.command(Command::Answer(order, answer));
    }

    /// Whether models are being dropped: others are not read before their memory is back.
    pub(super) fn is_releasing(&self) -> bool {
        !self.unwanted.is_empty() || matches!(self.busy, Some(Work::Release(_)))
    }

    /// Where an item belongs, as far as that is known before it starts.
    pub(super) fn lane_of(&self, id: ItemId) -> Option<Lane> {
        let spec = self.items.spec(id)?;
        let prepared = self.prepared.get(&id).filter(|prepared| {
            let facts = self.facts_of(&spec.model);
            !spec.is_suspect
                && facts.is_some_and(|facts| facts.description.digest == prepared.digest)
        });
        let shares = prepared.and_then(|prepared| prepared.shares.clone());
        Some(Lane { model: spec.model.clone(), shares })
    }

    /// Gives an item a slot, or a place beside those of one. Says whether there was room.
    pub(super) fn begin(&mut self, id: ItemId, slots: usize, now: Instant) -> bool {
        let Some(lane) = self.lane_of(id) else { return false };
        let most = |key: &BatchKey| self.rates.best(key, now);
        let Some(beside) = self.line.room_for(&lane, slots, &most) else {
            self.prepare_early(id);
            return false;
        };
        self.items.begin(id, beside, now);
        self.place(id, lane, now);
        true
    }

    /// Has the request of an item prepared that waits and was admitted before its model was there:
    /// only then is it known whether it can share a slot.
    fn prepare_early(&mut self, id: ItemId) {
        let model = self.items.spec(id).map(|spec| spec.model.clone());
        if let Some(facts) = model.and_then(|model| self.facts_of(&model).cloned()) {
            self.prepare(id, facts);
        }
    }

    /// Has an item's request prepared for a model, unless it is or will be.
    fn prepare(&mut self, id: ItemId, facts: Facts) -> bool {
        let known = self.prepared.get(&id).map(|prepared| &prepared.digest);
        if known == Some(&facts.description.digest) {
            return true;
        }
        if self.preparing.insert(id) {
            self.command(Command::Prepare { item: id, facts });
        }
        false
    }

    /// What is known of a model that is in memory.
    fn facts_of(&self, model: &str) -> Option<&Facts> {
        let residency = self.models.get(model).map(|model| &model.residency);
        residency.filter(|residency| residency.is_resident()).and_then(Residency::facts)
    }

    /// Has an item that has a slot do what comes first: wait for its model, be prepared, or start.
    pub(super) fn place(&mut self, id: ItemId, lane: Lane, now: Instant) {
        let model = lane.model.clone();
        let Some(facts) = self.facts_of(&model).cloned() else {
            self.line.wait(id, lane, Stage::Model);
            self.items.progress(id, Phase::ModelLoad, 0, 0);
            self.items.clock(id, |times| times.loading_since = Some(now));
            if let Err(error) = self.load_on_demand(&model, now) {
                self.fail(id, error, now);
            }
            return;
        };
        self.line.wait(id, lane, Stage::Preparation);
        if self.prepare(id, facts) {
            self.line.ready(id, Stage::Start, Turn::Last);
        }
    }

    /// Has a model loaded that somebody needs, unless that is under way.
    ///
    /// # Errors
    /// One that failed a moment ago, or was unloaded, is refused with the reason.
    pub(super) fn load_on_demand(&mut self, model: &str, now: Instant) -> Result<(), CallError> {
        if !self.loads.has(model) {
            self.models.resolve(Some(model), now)?;
            self.load(model, None);
        }
        Ok(())
    }

    /// Has a model loaded, and a profile of it made first where an order asks for one.
    pub(super) fn load(&mut self, model: &str, profile: Option<OrderId>) {
        let Some(path) = self.models.get(model).map(|model| model.path.clone()) else { return };
        let progress = Progress::default();
        self.models.set(model, Residency::Loading(progress.clone()));
        self.loads.push(Load { model: model.to_owned(), path, progress, profile });
    }

    /// Ends an item whose run is gone, for what became of it.
    pub(super) fn end_run(&mut self, id: ItemId, error: RunError, now: Instant) {
        self.line.remove_run(id);
        match error {
            RunError::Interrupted => self.items.end_stopped(id, now),
            RunError::Failed(error) => self.items.end(id, Err(error), now),
        }
    }

    /// Ends an item that compute isn't at, for an error.
    pub(super) fn fail(&mut self, id: ItemId, error: CallError, now: Instant) {
        self.line.remove(id);
        self.items.end(id, Err(error), now);
    }

    /// Ends an item that compute isn't at, for the reason that it was stopped for.
    pub(super) fn end_stopped(&mut self, id: ItemId, now: Instant) {
        self.line.remove(id);
        self.items.end_stopped(id, now);
    }

    /// Stops an item: at once, or by its interrupt where compute is at it. Says whether there was
    /// something to stop.
    pub(super) fn stop(&mut self, id: ItemId, kind: ErrorKind, now: Instant) -> bool {
        match self.items.stop(id, kind, now) {
            StopOutcome::Nothing => return false,
            StopOutcome::Ended => {}
            StopOutcome::Running if self.line.is_computing(id) => {
                self.command(Command::Interrupt(id));
                if self.line.abandon(id) {
                    self.items.end_stopped(id, now);
                }
            }
            StopOutcome::Running => self.end_stopped(id, now),
        }
        true
    }
}
