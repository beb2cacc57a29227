//! Where callers, the plan and the threads meet: one mutex around the plan and what its numbers
//! stand for, and a condition for each thread to wait on.
//!
//! Whatever changes the plan carries out its commands before the lock is let go: results go to
//! their callers, tasks to the threads. The threads take one task at a time and report what came of
//! it; nothing is decided here.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hearth_api::{CallError, RequestId};
use hearth_inference::model::Model;
use hearth_protocol::methods::{GenerateArgs, ItemIndex};
use hearth_protocol::record::WorkerState;
use tokio::sync::{oneshot, watch};

use super::desk::{Arrival, Desk, Watch};
use super::item_data::ItemData;
use super::load_error::LoadError;
use super::order::Reply;
use super::plan::{Command, Event, ItemWork, OrderId, OrderRequest, Plan, RunError, Work};
use super::task::{ComputeTask, EncodeTask, LoadTask, Preparation, PrepareTask, RunResult};
use crate::items::{ItemId, ItemSpec};
use crate::metrics::WorkerMetrics;
use crate::models::Facts;
use crate::suspects::Journal;

pub(crate) struct Inbox {
    desk: Mutex<Desk>,
    compute: Condvar,
    loader: Condvar,
    preparer: Condvar,
    encoder: Condvar,
    announced: watch::Sender<WorkerState>,
    /// Something has changed that the registry's record says besides the state.
    record: watch::Sender<()>,
    metrics: WorkerMetrics,
    journal: Arc<Journal>,
}

impl Inbox {
    pub(crate) fn new(plan: Plan, metrics: WorkerMetrics, journal: Arc<Journal>) -> Arc<Self> {
        let announced = watch::Sender::new(plan.life().state());
        Arc::new(Self {
            desk: Mutex::new(Desk::new(plan)),
            compute: Condvar::new(),
            loader: Condvar::new(),
            preparer: Condvar::new(),
            encoder: Condvar::new(),
            announced,
            record: watch::Sender::new(()),
            metrics,
            journal,
        })
    }

    /// A panic elsewhere leaves the plan whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the plan.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Plan) -> T) -> T {
        look(&self.lock().plan)
    }

    /// Changes the plan, and carries out what follows.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Plan, Instant) -> T) -> T {
        let mut desk = self.lock();
        let changed = change(&mut desk.plan, Instant::now());
        self.carry_out(&mut desk);
        changed
    }

    /// Begins; the receiver says when the models of the start are there, or why they can't be.
    pub(super) fn start(&self) -> oneshot::Receiver<Result<(), LoadError>> {
        let (start, receiver) = oneshot::channel();
        self.lock().start = Some(start);
        self.change(Plan::start);
        receiver
    }

    /// Says that time has passed: ends what has passed its deadline or lost its caller.
    pub(crate) fn tick(&self) {
        self.report(Event::Tick);
    }

    /// What the worker is.
    pub(crate) fn state(&self) -> WorkerState {
        self.look(|plan| plan.life().state())
    }

    /// Follows what the worker is.
    pub(crate) fn announced(&self) -> watch::Receiver<WorkerState> {
        self.announced.subscribe()
    }

    /// Follows changes of what the record says besides the state, as of the models.
    pub(crate) fn record_changed(&self) -> watch::Receiver<()> {
        self.record.subscribe()
    }

    /// The record is to be written again.
    pub(crate) fn touch_record(&self) {
        self.record.send_replace(());
    }

    /// Counts a request that was refused before it was queued.
    pub(crate) fn count_refused(&self) {
        self.metrics.refused();
    }

    /// Takes an item on, attaches its caller where it is there already, or finds its kept result.
    pub(super) fn admit(
        &self,
        spec: ItemSpec,
        args: Arc<GenerateArgs>,
        prepared: Option<Arc<Preparation>>,
    ) -> Result<Watch, CallError> {
        let mut desk = self.lock();
        let known = prepared.as_deref().map(Preparation::prepared_for);
        let admitted = desk.plan.admit(spec, known, Instant::now());
        if let Ok(id) = admitted
            && let Some(view) = desk.plan.items().view(id).cloned()
        {
            let new = || ItemData::new(args, prepared, view);
            desk.items.entry(id).or_insert_with(new);
        }
        self.carry_out(&mut desk);
        let id = admitted.inspect_err(|_| self.count_refused())?;
        desk.watch(id).ok_or_else(super::guard::own_fault)
    }

    /// Takes up a request's items again: that of `index`, or all.
    pub(super) fn attach(
        &self,
        request: &RequestId,
        index: Option<u32>,
    ) -> Result<Vec<(ItemIndex, Watch)>, CallError> {
        let mut desk = self.lock();
        let ids = desk.plan.attach(request, index, Instant::now());
        self.carry_out(&mut desk);
        let watch = |id| Some((desk.plan.items().spec(id)?.item, desk.watch(id)?));
        Ok(ids?.into_iter().filter_map(watch).collect())
    }

    /// Takes an order on. None where nothing is to be done for it.
    pub(super) fn order(
        &self,
        request: OrderRequest,
        reply: Reply,
    ) -> Result<Option<OrderId>, CallError> {
        let mut desk = self.lock();
        let order = desk.plan.order(request, Instant::now());
        if let Ok(Some(id)) = order {
            desk.orders.insert(id, reply);
        }
        self.carry_out(&mut desk);
        order
    }

    /// An order's caller has gone.
    pub(super) fn withdraw(&self, order: OrderId) {
        let mut desk = self.lock();
        desk.plan.withdraw(order, Instant::now());
        desk.orders.remove(&order);
        self.carry_out(&mut desk);
    }

    /// The next thing to compute, with the models that came since; none once all is over.
    pub(super) fn next_compute(&self) -> Option<(ComputeTask, Vec<Arrival>)> {
        let mut desk = self.wait(&self.compute, |desk| desk.compute.is_some());
        let task = desk.compute.take()?;
        Some((task, std::mem::take(&mut desk.arrived)))
    }

    /// The next model to load; none once all is over.
    pub(super) fn next_load(&self) -> Option<LoadTask> {
        self.wait(&self.loader, |desk| desk.loader.is_some()).loader.take()
    }

    /// The next request to prepare; none once all is over.
    pub(super) fn next_preparation(&self) -> Option<PrepareTask> {
        self.wait(&self.preparer, |desk| !desk.preparer.is_empty()).preparer.pop_front()
    }

    /// The next item to encode; none once all is over.
    pub(super) fn next_encoding(&self) -> Option<EncodeTask> {
        self.wait(&self.encoder, |desk| !desk.encoder.is_empty()).encoder.pop_front()
    }

    fn wait(&self, condition: &Condvar, has_task: impl Fn(&Desk) -> bool) -> MutexGuard<'_, Desk> {
        let waits = |desk: &mut Desk| !has_task(desk) && !desk.is_stopped;
        condition.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns what one of the threads has done.
    pub(super) fn report(&self, event: Event) {
        self.change(|plan, now| plan.handle(event, now));
    }

    /// An item has left compute.
    pub(super) fn finished(&self, item: ItemId, outcome: Result<RunResult, RunError>) {
        let mut desk = self.lock();
        let outcome = outcome.map(|result| {
            if let Some(data) = desk.items.get_mut(&item) {
                data.result = Some(result);
            }
        });
        desk.plan.handle(Event::Finished { item, outcome }, Instant::now());
        self.carry_out(&mut desk);
    }

    /// A request was prepared for an item.
    pub(super) fn prepared(&self, item: ItemId, outcome: Result<Arc<Preparation>, CallError>) {
        let mut desk = self.lock();
        let outcome = outcome.map(|prepared| {
            let known = prepared.prepared_for();
            if let Some(data) = desk.items.get_mut(&item) {
                data.prepared = Some(prepared);
            }
            known
        });
        desk.plan.handle(Event::Prepared { item, outcome }, Instant::now());
        self.carry_out(&mut desk);
    }

    /// A model came, or did not.
    pub(super) fn loaded(&self, model: String, outcome: Result<Box<dyn Model>, LoadError>) {
        let mut desk = self.lock();
        let outcome = match outcome {
            Ok(loaded) => {
                let facts = Facts::of(loaded.as_ref());
                desk.arrived.push((model.clone(), loaded));
                Ok(facts)
            }
            Err(error) => Err(CallError::from(&*desk.load_error.insert(error))),
        };
        desk.plan.handle(Event::Loaded { model, outcome }, Instant::now());
        self.carry_out(&mut desk);
        desk.load_error = None;
    }

    /// Has it written down that an item is about to be computed.
    fn write_down(&self, desk: &Desk, item: ItemId) {
        let args = desk.items.get(&item).and_then(ItemData::args);
        let lost = args.map(|args| args.lost.clone()).unwrap_or_default();
        if let Some(spec) = desk.plan.items().spec(item) {
            self.journal.begin(item, spec.key.request.clone(), &lost);
        }
    }

    fn carry_out(&self, desk: &mut Desk) {
        for command in desk.plan.take_commands() {
            match command {
                Command::Compute(work) => {
                    if let Work::Item(ItemWork::Start(item)) = work {
                        self.write_down(desk, item);
                    }
                    desk.compute = Some(desk.compute_task(work));
                    self.compute.notify_one();
                }
                Command::Load(load) => {
                    desk.loader = Some(desk.load_task(load));
                    self.loader.notify_one();
                }
                Command::Prepare { item, facts } => {
                    desk.prepare(item, facts);
                    self.preparer.notify_one();
                }
                Command::Encode(item) => {
                    desk.encode(item);
                    self.encoder.notify_one();
                }
                Command::Interrupt(item) => desk.items.get(&item).map_or((), ItemData::interrupt),
                Command::Publish(item) => desk.publish(item),
                Command::End { item, error, after } => {
                    if let Some(data) = desk.items.get_mut(&item) {
                        data.end();
                    }
                    // While compute is at it, a worker may yet be lost to it.
                    if !desk.plan.is_computing_in_vain(item) {
                        self.journal.end(item);
                    }
                    self.metrics.ended(error, after);
                }
                Command::Leave(item) => self.journal.end(item),
                Command::Forget(item) => drop(desk.items.remove(&item)),
                Command::Answer(order, answer) => {
                    if let Some(reply) = desk.orders.remove(&order) {
                        reply.answer(answer);
                    }
                }
                Command::Started => desk.end_start(Ok(())),
                Command::Abort => {
                    if let Some(error) = desk.load_error.take() {
                        desk.end_start(Err(error));
                    }
                }
                Command::Announce(announced) => drop(self.announced.send_replace(announced)),
                Command::ModelsChanged => self.touch_record(),
                Command::Stop => {
                    desk.is_stopped = true;
                    self.journal.close();
                    for condition in [&self.compute, &self.loader, &self.preparer, &self.encoder] {
                        condition.notify_all();
                    }
                }
            }
        }
    }
}
