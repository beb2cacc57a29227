//! Hands that do what the plan says, as a model, a loader and an encoder would, and complain when it
//! says what must never be said.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hearth_inference::model::BatchKey;
use hearth_protocol::record::WorkerState;

use super::*;

/// How a piece of work goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    Good,
    Bad,
}

/// With whom an item can share its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    Alone,
    /// Others of its model, some of which have another key.
    Free,
    /// Items of its request that are at the same step.
    InStep,
}

impl Sharing {
    /// What an item of a request is prepared for.
    pub(super) fn lane(self, request: &str) -> Option<BatchKey> {
        match self {
            Self::Alone => None,
            Self::Free => Some(BatchKey::new("all")),
            Self::InStep => Some(BatchKey::new("all").of(number(request))),
        }
    }
}

/// The number in a request's id.
fn number(request: &str) -> usize {
    request.trim_start_matches('r').parse().unwrap()
}

/// An item that computes: what a model's run is.
struct FakeRun {
    model: String,
    step: usize,
    steps: usize,
    /// Work of others since its own.
    waited: usize,
}

/// What the threads of a worker are, without threads.
#[derive(Default)]
pub(super) struct Hands {
    slots: usize,
    max_batch: usize,
    pub(super) compute: Option<Work>,
    pub(super) loader: Option<Load>,
    pub(super) preparing: VecDeque<ItemId>,
    pub(super) encoding: VecDeque<ItemId>,
    resident: BTreeSet<String>,
    runs: BTreeMap<ItemId, FakeRun>,
    prepared: BTreeSet<ItemId>,
    /// Items that don't share their steps with all.
    sharing: BTreeMap<ItemId, Sharing>,
    interrupted: BTreeSet<ItemId>,
    /// Items that were admitted, and how often each has ended.
    pub(super) ends: BTreeMap<ItemId, usize>,
    /// Orders that were taken on, and how often each was answered.
    pub(super) answers: BTreeMap<OrderId, usize>,
    /// Graphs that wait to be run, by their models.
    graphs: BTreeMap<OrderId, String>,
    /// Pieces of items' work that were begun while a graph's time had come.
    passed: usize,
    pub(super) announced: Option<WorkerState>,
    pub(super) is_stopped: bool,
}

impl Hands {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (slots, max_batch) = (bounds.items.slots as usize, bounds.max_batch);
        Self { slots, max_batch, ..Self::default() }
    }

    /// An item was admitted for a model, or attached to.
    pub(super) fn admitted(&mut self, id: ItemId, prepared: bool, sharing: Sharing) {
        if let Entry::Vacant(ends) = self.ends.entry(id) {
            ends.insert(0);
            self.sharing.extend(prepared.then_some((id, sharing)));
            self.prepared.extend(prepared.then_some(id));
        }
    }

    /// An order was taken on.
    pub(super) fn ordered(&mut self, id: OrderId, graph_of: Option<&str>) {
        assert!(self.answers.insert(id, 0).is_none(), "a number is used once");
        self.graphs.extend(graph_of.map(|model| (id, model.to_owned())));
    }

    /// An order's caller has gone: it may stay without an answer.
    pub(super) fn withdrawn(&mut self, id: OrderId) {
        self.answers.remove(&id);
        self.graphs.remove(&id);
    }

    /// Takes what is to be done, and checks that it may be said.
    pub(super) fn take(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Compute(work) => self.begin(work),
                Command::Load(load) => {
                    assert!(self.loader.is_none(), "the loader is busy");
                    let releases = matches!(self.compute, Some(Work::Release(_)));
                    assert!(!releases, "memory is given back before more is taken");
                    self.loader = Some(load);
                }
                Command::Prepare { item, .. } => self.preparing.push_back(item),
                Command::Encode(item) => {
                    assert!(self.is_alive(item));
                    self.encoding.push_back(item);
                    let most = self.slots + 1;
                    assert!(self.encoding.len() <= most, "the encoder is far behind");
                }
                Command::Interrupt(item) => drop(self.interrupted.insert(item)),
                Command::End { item, .. } => {
                    let ends = self.ends.get_mut(&item).unwrap();
                    *ends += 1;
                    assert_eq!(*ends, 1, "{item:?} ends once");
                }
                Command::Answer(order, _) => {
                    self.graphs.remove(&order);
                    if let Some(answers) = self.answers.get_mut(&order) {
                        *answers += 1;
                        assert_eq!(*answers, 1, "{order:?} is answered once");
                    }
                }
                Command::Announce(state) => {
                    assert_ne!(self.announced, Some(state), "only what has changed is announced");
                    self.announced = Some(state);
                }
                Command::Stop => {
                    assert!(!self.is_stopped && self.compute.is_none());
                    self.is_stopped = true;
                }
                Command::Started
                | Command::Abort
                | Command::Publish(_)
                | Command::Leave(_)
                | Command::Forget(_)
                | Command::ModelsChanged => {}
            }
        }
    }

    fn is_alive(&self, item: ItemId) -> bool {
        self.ends.get(&item) == Some(&0)
    }

    fn begin(&mut self, work: Work) {
        assert!(self.compute.is_none(), "compute does one thing at a time");
        assert!(!self.is_stopped);
        match &work {
            Work::Item(item) => {
                self.begin_item(item);
                if self.graphs.values().any(|model| self.resident.contains(model)) {
                    self.passed += 1;
                    assert!(self.passed <= 2, "an order is obeyed within one step");
                }
            }
            Work::Discard(item) => {
                assert!(!self.is_alive(*item));
                assert!(self.runs.remove(item).is_some(), "{item:?} has a run");
            }
            Work::Infer(order) => {
                self.passed = 0;
                if let Some(model) = self.graphs.remove(order) {
                    assert!(self.resident.contains(&model), "{model} is there");
                }
            }
            Work::Release(Release { models, .. }) => {
                self.passed = 0;
                for model in models {
                    assert!(self.resident.remove(model), "{model} is there");
                    assert!(self.runs.values().all(|run| run.model != *model), "nobody uses it");
                }
            }
        }
        self.compute = Some(work);
    }

    fn begin_item(&mut self, work: &ItemWork) {
        let ids = match work {
            ItemWork::Start(id) => {
                assert!(self.prepared.contains(id), "{id:?} is prepared");
                assert!(self.runs.len() < self.slots * self.max_batch, "batches have a bound");
                assert!(self.slots_taken() <= self.slots, "slots are never oversubscribed");
                vec![*id]
            }
            ItemWork::Preview(id) | ItemWork::Finish(id) => vec![*id],
            ItemWork::Step(StepGroup(ids)) => {
                assert!(!ids.is_empty() && ids.len() <= self.max_batch);
                let common = |id: &ItemId| (self.runs[id].model.clone(), self.key(*id));
                assert!(ids.iter().all(|id| common(id) == common(&ids[0])), "they fit together");
                let is_alone = |id: &ItemId| self.sharing(*id) == Sharing::Alone;
                assert!(ids.len() == 1 || !ids.iter().any(is_alone), "{ids:?}");
                ids.clone()
            }
        };
        assert!(ids.iter().all(|id| self.is_alive(*id)), "{ids:?} have not ended");
        for (id, run) in &mut self.runs {
            // One whose steps are taken may wait for the encoder.
            let is_over = ids.contains(id) || run.step == run.steps;
            run.waited = if is_over { 0 } else { run.waited + 1 };
            assert!(run.waited <= 4 * self.slots * self.max_batch, "{id:?} starves");
        }
    }

    fn sharing(&self, id: ItemId) -> Sharing {
        self.sharing.get(&id).copied().unwrap_or(Sharing::Free)
    }

    /// Slots that the runs take at least: one for each that is alone, and for each batch of a model's
    /// others.
    fn slots_taken(&self) -> usize {
        let (mut alone, mut shared) = (0, BTreeMap::<&str, usize>::new());
        for (id, run) in &self.runs {
            match self.sharing(*id) {
                Sharing::Alone => alone += 1,
                Sharing::Free | Sharing::InStep => *shared.entry(&run.model).or_default() += 1,
            }
        }
        alone + shared.values().map(|count| count.div_ceil(self.max_batch)).sum::<usize>()
    }

    fn key(&self, id: ItemId) -> BatchKey {
        match self.sharing(id) {
            Sharing::InStep => BatchKey::new("in step").of(0).at(self.runs[&id].step),
            _ if id.0.is_multiple_of(3) => BatchKey::new("a"),
            _ => BatchKey::new("b"),
        }
    }

    /// How long what compute is at takes: a step that is shared is hardly longer.
    pub(super) fn time(&self) -> Duration {
        match &self.compute {
            Some(Work::Item(ItemWork::Step(StepGroup(ids)))) => {
                Duration::from_millis(20 + ids.len() as u64)
            }
            _ => Duration::from_millis(1),
        }
    }

    fn status(&self, id: ItemId) -> RunStatus {
        let FakeRun { step, steps, .. } = self.runs[&id];
        RunStatus { step, steps, batch_key: Some(self.key(id)), is_done: step >= steps }
    }

    /// Why an item's work went wrong, if it did.
    fn failure(&self, id: ItemId, luck: Luck) -> Option<RunError> {
        match (self.interrupted.contains(&id), luck) {
            (true, Luck::Bad) => Some(RunError::Interrupted),
            (false, Luck::Bad) => Some(RunError::Failed(failure())),
            // An interrupt may come too late.
            (_, Luck::Good) => None,
        }
    }

    /// Ends what compute is at.
    pub(super) fn compute(&mut self, plan: &Plan, luck: Luck) -> Option<Event> {
        let took = self.time();
        Some(match self.compute.take()? {
            Work::Item(ItemWork::Start(item)) => {
                let spec = plan.items().spec(item).unwrap();
                assert!(self.resident.contains(&spec.model), "{} is there", spec.model);
                let outcome = match self.failure(item, luck) {
                    Some(error) => Err(error),
                    None => {
                        let steps = 1 + usize::try_from(spec.seed).unwrap() % 4;
                        let model = spec.model.clone();
                        self.runs.insert(item, FakeRun { model, step: 0, steps, waited: 0 });
                        Ok(self.status(item))
                    }
                };
                Event::Started { item, outcome }
            }
            Work::Item(ItemWork::Step(StepGroup(ids))) => {
                // Bad luck is the first one's alone.
                let step = |(at, item): (usize, ItemId)| {
                    let luck = if at == 0 { luck } else { Luck::Good };
                    let outcome = match self.failure(item, luck) {
                        Some(error) => {
                            self.runs.remove(&item);
                            Err(error)
                        }
                        None => {
                            self.runs.get_mut(&item).unwrap().step += 1;
                            Ok(self.status(item))
                        }
                    };
                    (item, outcome)
                };
                Event::Stepped { outcomes: ids.into_iter().enumerate().map(step).collect(), took }
            }
            Work::Item(ItemWork::Preview(item)) => Event::Previewed { item, preview: None },
            Work::Item(ItemWork::Finish(item)) => {
                self.runs.remove(&item).unwrap();
                let outcome = self.failure(item, luck).map_or(Ok(()), Err);
                Event::Finished { item, outcome }
            }
            Work::Discard(_) => Event::Discarded,
            Work::Infer(order) => {
                // Its caller is told straight away.
                if let Some(answers) = self.answers.get_mut(&order) {
                    *answers += 1;
                    assert_eq!(*answers, 1);
                }
                Event::Inferred
            }
            Work::Release(_) => Event::Released(FreedMemory::default()),
        })
    }

    /// Ends what the loader is at.
    pub(super) fn load(&mut self, luck: Luck) -> Option<Event> {
        let Load { model, profile, .. } = self.loader.take()?;
        if let Some(answers) = profile.and_then(|order| self.answers.get_mut(&order)) {
            *answers += 1;
            assert_eq!(*answers, 1);
        }
        let outcome = match luck {
            Luck::Good => {
                self.resident.insert(model.clone());
                Ok(facts())
            }
            Luck::Bad => Err(failure()),
        };
        Some(Event::Loaded { model, outcome })
    }

    /// Ends the oldest preparation.
    pub(super) fn prepare(&mut self, luck: Luck) -> Option<Event> {
        let item = self.preparing.pop_front()?;
        let outcome = match luck {
            Luck::Good => {
                self.prepared.insert(item);
                Ok(prepared(Some("all")))
            }
            Luck::Bad => Err(failure()),
        };
        Some(Event::Prepared { item, outcome })
    }

    /// Ends the oldest encoding.
    pub(super) fn encode(&mut self, luck: Luck) -> Option<Event> {
        let item = self.encoding.pop_front()?;
        let outcome = match luck {
            Luck::Good => Ok(output()),
            Luck::Bad => Err(failure()),
        };
        Some(Event::Encoded { item, outcome })
    }
}
