//! Random histories: whatever callers do and however the work goes, no item starves, each ends
//! once, each order is answered once and in time, and the worker is what it was told to be. What
//! must never be said is checked at each command, in `hands.rs`.

use hearth_protocol::record::WorkerState;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngAlgorithm;

use super::hands::{Hands, Luck, Sharing};
use super::*;

const MODELS: [&str; 3] = ["m", "n", "o"];

/// One thing that comes to pass.
#[derive(Debug, Clone)]
enum Happening {
    Ask {
        request: u8,
        item: u32,
        model: usize,
        prepared: bool,
        sharing: Sharing,
        previews: bool,
        hurried: bool,
    },
    Attach(u8),
    Leave(Index),
    GiveUp(Index),
    Cancel(u8),
    Compute(Luck),
    Load(Luck),
    Prepare(Luck),
    Encode(Luck),
    Order(Request),
    Withdraw(Index),
    Drain,
    Resume,
    Wait(u64),
    End,
}

#[derive(Debug, Clone)]
enum Request {
    Load(usize),
    Unload(usize),
    Sleep(u8),
    Wake,
    Infer(usize),
    Profile(usize),
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![4 => Just(Luck::Good), 1 => Just(Luck::Bad)]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        2 => (0..3_usize).prop_map(Request::Load),
        2 => (0..3_usize).prop_map(Request::Unload),
        3 => (1..3_u8).prop_map(Request::Sleep),
        3 => Just(Request::Wake),
        4 => (0..3_usize).prop_map(Request::Infer),
        2 => (0..3_usize).prop_map(Request::Profile),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let sharing = prop_oneof![Just(Sharing::Alone), Just(Sharing::Free), Just(Sharing::InStep)];
    let ask = (0..4_u8, 0..3_u32, 0..3_usize, any::<[bool; 2]>(), sharing, 0..8_u8);
    prop_oneof![
        12 => ask.prop_map(|(request, item, model, [prepared, previews], sharing, hurry)| {
            let hurried = hurry == 0;
            Happening::Ask { request, item, model, prepared, sharing, previews, hurried }
        }),
        1 => (0..4_u8).prop_map(Happening::Attach),
        2 => any::<Index>().prop_map(Happening::Leave),
        1 => any::<Index>().prop_map(Happening::GiveUp),
        1 => (0..4_u8).prop_map(Happening::Cancel),
        20 => luck().prop_map(Happening::Compute),
        6 => luck().prop_map(Happening::Load),
        4 => luck().prop_map(Happening::Prepare),
        6 => luck().prop_map(Happening::Encode),
        8 => request().prop_map(Happening::Order),
        1 => any::<Index>().prop_map(Happening::Withdraw),
        1 => Just(Happening::Drain),
        2 => Just(Happening::Resume),
        1 => (0..40_u64).prop_map(Happening::Wait),
        1 => (0..12_u8).prop_map(|dice| if dice == 0 { Happening::End } else { Happening::Resume }),
    ]
}

/// A plan and its hands, and what the worker was told to be.
struct World {
    plan: Plan,
    hands: Hands,
    now: Instant,
    /// Who listens to items: an item once for each caller.
    callers: Vec<ItemId>,
    orders: Vec<OrderId>,
    asleep: bool,
    drained: bool,
    ended: bool,
    started: bool,
}

impl World {
    fn new(slots: u32, max_batch: usize) -> Self {
        let bounds = bounds(slots, max_batch);
        let models = vec![first_model("m"), model("n"), model("o")];
        let mut plan = Plan::new(bounds, models, false);
        let now = Instant::now();
        plan.start(now);
        let (callers, orders) = (Vec::new(), Vec::new());
        let hands = Hands::new(bounds);
        let (asleep, drained, ended, started) = (false, false, false, false);
        let mut world = Self { plan, hands, now, callers, orders, asleep, drained, ended, started };
        world.follow();
        world
    }

    fn follow(&mut self) {
        let commands = self.plan.take_commands();
        self.started |= commands.iter().any(|command| matches!(command, Command::Started));
        self.hands.take(commands);
        let state = self.plan.life().state();
        match (self.ended, self.asleep, self.drained) {
            (true, ..) => assert_eq!(state, WorkerState::Draining),
            (false, true, _) => assert_eq!(state, WorkerState::Sleeping),
            (false, false, true) => assert_eq!(state, WorkerState::Draining),
            (false, false, false) => {
                assert!(matches!(state, WorkerState::Loading | WorkerState::Ready), "{state}");
            }
        }
        assert_eq!(self.hands.announced.unwrap_or(WorkerState::Loading), state, "it is announced");
        let counts = self.plan.items().counts();
        let unfinished = self.hands.ends.values().filter(|ends| **ends == 0).count();
        assert_eq!((counts.running + counts.queued) as usize, unfinished, "all are accounted for");
    }

    fn report(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.plan.handle(event, self.now);
        }
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Ask { request, item, model, prepared, sharing, previews, hurried } => {
                let request = format!("r{request}");
                let spec = ItemSpec {
                    seed: u64::from(item) + model as u64,
                    preview_every: previews.then_some(2),
                    deadline: hurried.then_some(Duration::from_secs(20)),
                    ..spec(&request, item, MODELS[model])
                };
                let shares = sharing.lane(&request);
                let known = prepared.then(|| PreparationFacts { shares, ..super::prepared(None) });
                if let Ok(id) = self.plan.admit(spec, known, now) {
                    self.hands.admitted(id, prepared, sharing);
                    self.callers.push(id);
                }
            }
            Happening::Attach(request) => {
                let request = format!("r{request}").parse().unwrap();
                self.callers.extend(self.plan.attach(&request, None, now).unwrap_or_default());
            }
            Happening::Leave(index) => {
                if !self.callers.is_empty() {
                    let id = self.callers.swap_remove(index.index(self.callers.len()));
                    self.plan.leave(id, now);
                }
            }
            Happening::GiveUp(index) => {
                if !self.callers.is_empty() {
                    let id = self.callers.swap_remove(index.index(self.callers.len()));
                    self.plan.give_up(id, ErrorKind::Cancelled, now);
                    self.plan.leave(id, now);
                }
            }
            Happening::Cancel(request) => {
                let request = format!("r{request}").parse().unwrap();
                self.plan.cancel(&request, None, now).unwrap();
            }
            Happening::Compute(luck) => {
                self.now += self.hands.time();
                let event = self.hands.compute(&self.plan, luck);
                self.report(event);
            }
            Happening::Load(luck) => {
                // A start that fails ends the worker, and its history.
                let luck = if self.started { luck } else { Luck::Good };
                let event = self.hands.load(luck);
                self.report(event);
            }
            Happening::Prepare(luck) => {
                let event = self.hands.prepare(luck);
                self.report(event);
            }
            Happening::Encode(luck) => {
                let event = self.hands.encode(luck);
                self.report(event);
            }
            Happening::Order(request) => self.order(request),
            Happening::Withdraw(index) => {
                if !self.orders.is_empty() {
                    let id = self.orders.swap_remove(index.index(self.orders.len()));
                    self.plan.withdraw(id, now);
                    self.hands.withdrawn(id);
                }
            }
            Happening::Drain => {
                self.plan.drain(now);
                self.drained = true;
            }
            Happening::Resume => {
                assert_eq!(self.plan.resume(now).is_err(), self.ended);
                self.drained &= self.ended;
            }
            Happening::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.plan.handle(Event::Tick, self.now);
            }
            Happening::End => {
                self.plan.end(now);
                self.ended = true;
            }
        }
        self.follow();
    }

    fn order(&mut self, request: Request) {
        let name = |model: usize| MODELS[model].to_owned();
        let (asleep, graph_of, order) = match request {
            Request::Load(model) => {
                (None, None, OrderRequest::Load { model: name(model), added: None })
            }
            Request::Unload(model) => (None, None, OrderRequest::Unload { model: name(model) }),
            Request::Sleep(level) => (Some(true), None, OrderRequest::Sleep { level }),
            Request::Wake => (Some(false), None, OrderRequest::Wake),
            Request::Infer(model) => {
                (None, Some(MODELS[model]), OrderRequest::Infer { model: name(model) })
            }
            Request::Profile(model) => (None, None, OrderRequest::Profile { model: name(model) }),
        };
        let Ok(id) = self.plan.order(order, self.now) else { return };
        self.asleep = asleep.unwrap_or(self.asleep);
        if let Some(id) = id {
            self.hands.ordered(id, graph_of);
            self.orders.push(id);
        }
    }

    /// All the work that is left is done; nobody asks for anything more.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.follow();
            let event = self
                .hands
                .compute(&self.plan, Luck::Good)
                .or_else(|| self.hands.load(Luck::Good))
                .or_else(|| self.hands.prepare(Luck::Good))
                .or_else(|| self.hands.encode(Luck::Good));
            match event {
                Some(event) => self.plan.handle(event, self.now),
                None => return,
            }
        }
        panic!("the work never ends");
    }

    /// Plays the history to its end: everything that was taken on has ended, once.
    fn conclude(mut self) {
        self.settle();
        if !self.ended {
            self.happen(Happening::Resume);
            self.order(Request::Wake);
            self.settle();
            assert_eq!(self.plan.life().state(), WorkerState::Ready);
        }
        // What waits without a caller is abandoned.
        self.happen(Happening::Wait(GRACE.as_secs()));
        self.settle();
        assert!(!self.plan.items().is_busy());
        let unended: Vec<_> = self.hands.ends.iter().filter(|(_, ends)| **ends != 1).collect();
        assert!(unended.is_empty(), "{unended:?}");
        self.happen(Happening::End);
        self.plan.close(self.now);
        self.settle();
        let silent: Vec<_> = self.hands.answers.iter().filter(|(_, said)| **said != 1).collect();
        assert!(silent.is_empty(), "{silent:?}");
        assert!(self.hands.is_stopped);
    }
}

/// So many histories. Numbers come from a generator that is quick in an unoptimized build too.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_algorithm: RngAlgorithm::XorShift, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn every_history_ends_well(
        slots in 1..4_u32,
        max_batch in 1..4_usize,
        happenings in vec(happening(), 1..40),
    ) {
        let mut world = World::new(slots, max_batch);
        for happening in happenings {
            world.happen(happening);
        }
        world.conclude();
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn a_worker_that_closes_in_the_middle_ends_everything(
        slots in 1..4_u32,
        happenings in vec(happening(), 1..40),
    ) {
        let mut world = World::new(slots, 2);
        for happening in happenings {
            world.happen(happening);
        }
        world.ended = true;
        world.plan.close(world.now);
        world.settle();
        assert!(world.hands.ends.values().all(|ends| *ends == 1));
        assert!(world.hands.answers.values().all(|answers| *answers == 1));
        assert!(world.hands.is_stopped);
    }
}
