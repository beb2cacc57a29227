//! What the worker does next: it learns what came to pass and says what is to be done. Pure.
//!
//! Callers' requests and orders come in as calls that are answered at once, the hands' reports and
//! the clock as [`Event`]s; what follows comes out as [`Command`]s, to be carried out in their
//! order. Time is an argument. There is no lock, no session and no thread here: the plan deals in
//! numbers of items and orders, and `compute/inbox.rs` knows what they stand for.
//!
//! Compute, the loader and the encoder each do one thing at a time. An order comes between two
//! pieces of items' work: orders and items take turns, so that neither starves the other.

mod board;
mod cohort;
mod command;
mod entry;
mod lifecycle;
mod line;
mod loads;
mod obey;
mod orders;
mod progress;
mod rates;
mod stops;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hearth_api::{CallError, RequestId};
use hearth_inference::model::BatchKey;
use hearth_protocol::record::WorkerState;

use crate::items::{self, Change, ItemId, ItemKey, ItemSpec, Items};
use crate::models::{Model, ModelChoice, Models, Residency};
use board::Board;
pub(crate) use command::{
    Answer, Command, Event, ItemWork, OrderRequest, PreparationFacts, Release, RunError, RunStatus,
    StepGroup, Work,
};
pub(crate) use lifecycle::Lifecycle;
use lifecycle::{Arrivals, Stage};
use line::Line;
pub(crate) use loads::Load;
use loads::Loads;
use orders::Orders;
pub(crate) use orders::{FreedMemory, OrderId};
use rates::StepRates;

/// How much the plan takes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) items: items::Bounds,
    /// Items that take a step together.
    pub(crate) max_batch: usize,
    /// How long a step may take that is shared.
    pub(crate) longest_step: Duration,
}

pub(crate) struct Plan {
    board: Board,
    bounds: Bounds,
    /// Compute's last work was an order, so that items come next.
    was_order: bool,
    /// The threads were told to end.
    is_stopped: bool,
    announced: WorkerState,
}

impl Plan {
    /// A worker that starts: models that are listed as loading are loaded first.
    pub(crate) fn new(bounds: Bounds, models: Vec<Model>, drained: bool) -> Self {
        let mut board = Board {
            life: Lifecycle { stage: Stage::Starting(Arrivals::default()), drained },
            items: Items::new(bounds.items),
            models: Models::new(models),
            line: Line::default(),
            orders: Orders::default(),
            loads: Loads::default(),
            busy: None,
            unwanted: Vec::new(),
            prepared: BTreeMap::new(),
            preparing: BTreeSet::new(),
            rates: StepRates::new(bounds.max_batch, bounds.longest_step),
            commands: Vec::new(),
        };
        let first = board.models.names(|residency| matches!(residency, Residency::Loading(_)));
        first.iter().for_each(|name| board.load(name, None));
        board.life.stage = Stage::Starting(Arrivals::of(first));
        let announced = board.life.state();
        Self { board, bounds, was_order: false, is_stopped: false, announced }
    }

    /// Begins with what is to be done first.
    pub(crate) fn start(&mut self, now: Instant) {
        self.advance(now);
    }

    pub(crate) fn life(&self) -> &Lifecycle {
        &self.board.life
    }

    pub(crate) fn items(&self) -> &Items {
        &self.board.items
    }

    pub(crate) fn models(&self) -> &Models {
        &self.board.models
    }

    /// Learns what came to pass.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        let board = &mut self.board;
        match event {
            Event::Started { item, outcome } => {
                board.busy = None;
                progress::advanced(board, item, outcome, now);
            }
            Event::Stepped { outcomes, took } => {
                board.busy = None;
                progress::measured(board, &outcomes, took, now);
                for (item, outcome) in outcomes {
                    progress::advanced(board, item, outcome, now);
                }
            }
            Event::Previewed { item, preview } => {
                board.busy = None;
                progress::previewed(board, item, preview, now);
            }
            Event::Finished { item, outcome } => {
                board.busy = None;
                progress::finished(board, item, outcome, now);
            }
            Event::Discarded | Event::Inferred => board.busy = None,
            Event::Released(freed) => {
                if let Some(Work::Release(Release { order: Some(order), .. })) = board.busy.take() {
                    board.answer(order, Ok(Answer::Freed(freed)));
                }
            }
            Event::Prepared { item, outcome } => progress::prepared(board, item, outcome, now),
            Event::Encoded { item, outcome } => progress::encoded(board, item, outcome, now),
            Event::Loaded { model, outcome } => obey::loaded(board, &model, outcome, now),
            Event::Tick => {
                for (item, kind) in board.items.sweep(now) {
                    board.stop(item, kind, now);
                }
            }
        }
        self.advance(now);
    }

    /// Finds a request's model.
    ///
    /// # Errors
    /// What the model's own state says.
    pub(crate) fn resolve(
        &self,
        model: Option<&str>,
        now: Instant,
    ) -> Result<ModelChoice, CallError> {
        self.board.models.resolve(model, now)
    }

    /// Checks that there is a place for a new item, with at most `most` others before it, so that
    /// nothing is prepared for one that is refused.
    ///
    /// # Errors
    /// `queue_full`, which says when to come back.
    pub(crate) fn check_room(
        &mut self,
        key: &ItemKey,
        most: Option<u32>,
        now: Instant,
    ) -> Result<(), CallError> {
        self.board.items.check_room(key, most, now)
    }

    /// Takes an item on, attaches its caller where it is there already, or finds its kept result.
    /// `prepared` is what its request was prepared for, if it was.
    pub(crate) fn admit(
        &mut self,
        spec: ItemSpec,
        prepared: Option<PreparationFacts>,
        now: Instant,
    ) -> Result<ItemId, CallError> {
        let (open, is_new) = (self.board.life.check_admission(), !self.holds(&spec.key));
        let id = self.board.items.admit(spec, open, now);
        if let (&Ok(id), true, Some(prepared)) = (&id, is_new, prepared) {
            self.board.prepared.insert(id, prepared);
        }
        self.advance(now);
        id
    }

    /// Takes up a request's items again, each with one more caller: that of `index`, or all.
    pub(crate) fn attach(
        &mut self,
        request: &RequestId,
        index: Option<u32>,
        now: Instant,
    ) -> Result<Vec<ItemId>, CallError> {
        let ids = self.board.items.attach(request, index);
        self.advance(now);
        ids
    }

    /// Whether an item runs, waits or has a kept result.
    pub(crate) fn holds(&self, key: &ItemKey) -> bool {
        self.board.items.holds(key)
    }

    /// Whether compute is at an item that has ended.
    pub(crate) fn is_computing_in_vain(&self, id: ItemId) -> bool {
        self.board.line.is_abandoned(id)
    }

    /// An item's caller has gone.
    pub(crate) fn leave(&mut self, id: ItemId, now: Instant) {
        self.board.items.unsubscribe(id, now);
        self.advance(now);
    }

    /// Remembers who has asked for an item.
    pub(crate) fn note_caller(&mut self, id: ItemId, caller: &str) {
        self.board.items.note_caller(id, caller);
    }

    /// Takes no new requests from now on; those accepted are finished.
    pub(crate) fn drain(&mut self, now: Instant) {
        self.board.life.drained = true;
        self.advance(now);
    }

    /// Takes requests again.
    ///
    /// # Errors
    /// `draining` for a worker that is about to end.
    pub(crate) fn resume(&mut self, now: Instant) -> Result<(), CallError> {
        let resumed = self.board.life.resume();
        self.advance(now);
        resumed
    }

    /// Takes no new requests for the rest of this run.
    pub(crate) fn end(&mut self, now: Instant) {
        obey::end(&mut self.board);
        self.advance(now);
    }

    /// Ends what is left, and then the threads.
    pub(crate) fn close(&mut self, now: Instant) {
        obey::close(&mut self.board);
        self.cancel_all(now);
    }

    /// Takes an order on. None where nothing is to be done for it.
    ///
    /// # Errors
    /// `queue_full`, `not_ready`, `draining`, and what the model's own state says.
    pub(crate) fn order(
        &mut self,
        request: OrderRequest,
        now: Instant,
    ) -> Result<Option<OrderId>, CallError> {
        let order = obey::accept(&mut self.board, request, now);
        self.advance(now);
        order
    }

    /// An order's caller has gone. What serves nobody else is not begun.
    pub(crate) fn withdraw(&mut self, order: OrderId, now: Instant) {
        obey::withdraw(&mut self.board, order);
        self.advance(now);
    }

    /// What is to be done, oldest first.
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.board.commands)
    }

    /// Gives everybody who is idle something to do.
    fn advance(&mut self, now: Instant) {
        obey::complete(&mut self.board);
        obey::send_for_models(&mut self.board, now);
        let slots = self.bounds.items.slots as usize;
        while let Some(id) = self.board.items.first_waiting()
            && self.board.begin(id, slots, now)
        {}
        self.report_items();
        self.give_compute_work(now);
        self.give_loader_work();
        self.report_worker();
    }

    fn give_compute_work(&mut self, now: Instant) {
        if self.board.busy.is_some() {
            return;
        }
        let Some(work) = self.next_work(now) else {
            let over = self.board.life.is_closed() && self.board.line.is_empty();
            if over && !std::mem::replace(&mut self.is_stopped, true) {
                self.board.command(Command::Stop);
            }
            return;
        };
        match &work {
            Work::Infer(_) | Work::Release(_) => self.was_order = true,
            Work::Discard(_) => {}
            Work::Item(item) => {
                self.was_order = false;
                if let ItemWork::Start(id) = *item {
                    self.board.items.clock(id, |times| times.started_at = Some(now));
                }
            }
        }
        self.board.busy = Some(work.clone());
        self.board.command(Command::Compute(work));
    }

    fn next_work(&mut self, now: Instant) -> Option<Work> {
        let board = &mut self.board;
        if !board.unwanted.is_empty() {
            let models = std::mem::take(&mut board.unwanted);
            return Some(Work::Release(Release { models, ..Release::default() }));
        }
        if let Some(id) = board.line.discard() {
            return Some(Work::Discard(id));
        }
        if !self.was_order
            && let Some(work) = obey::next(board)
        {
            return Some(work);
        }
        let backlog = self.bounds.items.slots as usize + 1;
        let rates = &board.rates;
        let most = |key: &BatchKey| rates.best(key, now);
        let work = board.line.next(backlog, &most).map(Work::Item);
        work.or_else(|| obey::next(board))
    }

    fn give_loader_work(&mut self) {
        let board = &mut self.board;
        if board.is_releasing() || board.life.is_closed() {
            return;
        }
        if let Some(load) = board.loads.next() {
            board.command(Command::Load(load));
        }
    }

    /// Says what has changed of items.
    fn report_items(&mut self) {
        for change in self.board.items.take_changes() {
            let command = match change {
                Change::View(id) => Command::Publish(id),
                Change::End { item, error, after } => {
                    self.board.prepared.remove(&item);
                    Command::End { item, error, after }
                }
                Change::Removal(id) => Command::Forget(id),
            };
            self.board.command(command);
        }
    }

    /// Says what has changed of the worker.
    fn report_worker(&mut self) {
        if self.board.models.take_changed() {
            self.board.command(Command::ModelsChanged);
        }
        let state = self.board.life.state();
        if std::mem::replace(&mut self.announced, state) != state {
            self.board.command(Command::Announce(state));
        }
    }
}
