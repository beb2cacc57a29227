//! A plan that is told in words what came to pass, and says in words what is to be done.

use hearth_protocol::record::WorkerState;

use super::*;
use hearth_inference::model::BatchKey;

/// A plan, with a clock in hand.
pub(super) struct Script {
    pub(super) plan: Plan,
    now: Instant,
    /// When the hands said something last: since then compute is at it.
    reported_at: Instant,
    /// The items that were asked for, by their number in the script.
    items: Vec<ItemId>,
}

impl Script {
    /// A worker that serves the models `m` and `n`, and knows `o`, which nobody has asked for.
    pub(super) fn serving(slots: u32, max_batch: usize) -> Self {
        let mut script = Self::starting(slots, max_batch);
        script.check(&[
            ("start", "load m"),
            ("loaded m", "load n"),
            ("loaded n", "started, announce ready"),
        ]);
        script
    }

    /// The same, where it is known that as many share a step as may.
    pub(super) fn practised(slots: u32, max_batch: usize) -> Self {
        let mut script = Self::serving(slots, max_batch);
        for (items, ms) in [(1, 24), (max_batch, 25)] {
            let took = Duration::from_millis(ms);
            (0..3).for_each(|_| {
                script.plan.board.rates.note(&BatchKey::new("key"), items, took, script.now);
            });
        }
        script
    }

    pub(super) fn starting(slots: u32, max_batch: usize) -> Self {
        let models = vec![first_model("m"), first_model("n"), model("o")];
        let plan = Plan::new(bounds(slots, max_batch), models, false);
        let now = Instant::now();
        Self { plan, now, reported_at: now, items: Vec::new() }
    }

    /// Plays the rows: what came to pass, and what follows.
    pub(super) fn check(&mut self, rows: &[(&str, &str)]) {
        for (number, (event, expected)) in rows.iter().enumerate() {
            let said = self.play(event);
            assert_eq!(said, *expected, "row {number}: {event}");
        }
    }

    pub(super) fn state(&self) -> WorkerState {
        self.plan.life().state()
    }

    pub(super) fn id(&self, number: &str) -> ItemId {
        self.items[number.parse::<usize>().unwrap()]
    }

    fn ask(&mut self, words: &[&str]) -> Result<(), CallError> {
        let (number, mut model, mut prepared) = (words[0], "m", Some(prepared(Some("all"))));
        let mut spec_of = spec("r", number.parse().unwrap(), "m");
        for word in &words[1..] {
            match *word {
                "unprepared" => prepared = None,
                "alone" => prepared = Some(super::prepared(None)),
                "in-step" => {
                    let shares = Some(BatchKey::new("all").of(1));
                    prepared = Some(PreparationFacts { shares, ..super::prepared(None) });
                }
                "stale" => {
                    let digest = "of another model".to_owned();
                    prepared = Some(PreparationFacts { digest, shares: None });
                }
                "previews" => spec_of.preview_every = Some(2),
                "5s" => spec_of.deadline = Some(Duration::from_secs(5)),
                other => model = other,
            }
        }
        let spec = ItemSpec { model: model.to_owned(), ..spec_of };
        let id = self.plan.admit(spec, prepared, self.now)?;
        if self.items.len() == number.parse::<usize>().unwrap() {
            self.items.push(id);
        }
        Ok(())
    }

    fn order(&mut self, request: OrderRequest) -> Result<(), CallError> {
        self.plan.order(request, self.now).map(drop)
    }

    /// Tells the plan one thing, and gives what it says.
    pub(super) fn play(&mut self, event: &str) -> String {
        let words: Vec<&str> = event.split(' ').collect();
        let name = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
        let now = self.now;
        let mut outcome = Ok(());
        match words[0] {
            "start" => self.plan.start(now),
            "ask" => outcome = self.ask(&words[1..]),
            "leave" => self.plan.leave(self.id(words[1]), now),
            "give-up" => self.plan.give_up(self.id(words[1]), ErrorKind::Cancelled, now),
            "cancel" => drop(self.plan.cancel(&"r".parse().unwrap(), None, now)),
            "drain" => self.plan.drain(now),
            "resume" => outcome = self.plan.resume(now),
            "end" => self.plan.end(now),
            "close" => self.plan.close(now),
            "hang" => self.plan.hang(Duration::from_secs(3), now),
            "load" => outcome = self.order(OrderRequest::Load { model: name(1), added: None }),
            "add" => {
                let added = Some(Box::new(Model { configured: false, ..model(words[1]) }));
                outcome = self.order(OrderRequest::Load { model: name(1), added });
            }
            "unload" => outcome = self.order(OrderRequest::Unload { model: name(1) }),
            "sleep" => outcome = self.order(OrderRequest::Sleep { level: 1 }),
            "sleep-deep" => outcome = self.order(OrderRequest::Sleep { level: 2 }),
            "wake" => outcome = self.order(OrderRequest::Wake),
            "infer" => outcome = self.order(OrderRequest::Infer { model: name(1) }),
            "profile" => outcome = self.order(OrderRequest::Profile { model: name(1) }),
            "withdraw" => self.plan.withdraw(OrderId(words[1].parse().unwrap()), now),
            "wait" => self.now += Duration::from_secs(words[1].parse().unwrap()),
            _ => self.report(&words),
        }
        if words[0] == "wait" {
            self.plan.handle(Event::Tick, self.now);
        }
        let mut said: Vec<String> = self.plan.take_commands().iter().filter_map(shown).collect();
        if let Err(error) = outcome {
            said.push(format!("refused: {}", error.kind));
        }
        said.join(", ")
    }

    /// What the hands say.
    fn report(&mut self, words: &[&str]) {
        let item = || self.id(words[1]);
        let event = match words[0] {
            "started" => Event::Started { item: item(), outcome: Ok(status("0/3", &words[2..])) },
            "not-started" => Event::Started { item: item(), outcome: error(words[2]) },
            "stepped" => {
                let each = words[1].split(',').map(|number| {
                    let outcome = match words[2] {
                        "interrupted" | "failed" => error(words[2]),
                        at => Ok(status(at, &words[3..])),
                    };
                    (self.id(number), outcome)
                });
                Event::Stepped { outcomes: each.collect(), took: self.now - self.reported_at }
            }
            "previewed" => Event::Previewed { item: item(), preview: None },
            "finished" => Event::Finished { item: item(), outcome: Ok(()) },
            "not-finished" => Event::Finished { item: item(), outcome: error(words[2]) },
            "discarded" => Event::Discarded,
            "inferred" => Event::Inferred,
            "released" => Event::Released(FreedMemory::default()),
            "prepared" => Event::Prepared { item: item(), outcome: Ok(prepared(Some("all"))) },
            "not-prepared" => Event::Prepared { item: item(), outcome: Err(failure()) },
            "encoded" => Event::Encoded { item: item(), outcome: Ok(output()) },
            "loaded" => Event::Loaded { model: words[1].to_owned(), outcome: Ok(facts()) },
            "not-loaded" => Event::Loaded { model: words[1].to_owned(), outcome: Err(failure()) },
            other => panic!("{other:?} is no event"),
        };
        self.reported_at = self.now;
        self.plan.handle(event, self.now);
    }
}

fn error<T>(word: &str) -> Result<T, RunError> {
    Err(if word == "interrupted" { RunError::Interrupted } else { RunError::Failed(failure()) })
}

/// Of `1/3`, and a batch key.
fn status(at: &str, more: &[&str]) -> RunStatus {
    let (step, steps) = at.split_once('/').unwrap();
    let (step, steps) = (step.parse().unwrap(), steps.parse().unwrap());
    let batch_key = Some(match more.first().map(|word| (word.strip_prefix("at-"), *word)) {
        Some((Some(at), _)) => BatchKey::new("key").of(1).at(at.parse().unwrap()),
        Some((None, key)) => BatchKey::new(key),
        None => BatchKey::new("key"),
    });
    RunStatus { step, steps, batch_key, is_done: step == steps }
}

/// A command in words; those that only show how things stand are left out.
fn shown(command: &Command) -> Option<String> {
    Some(match command {
        Command::Compute(work) => match work {
            Work::Item(ItemWork::Start(id)) => format!("start {}", id.0),
            Work::Item(ItemWork::Step(StepGroup(ids))) => format!("step {}", numbers(ids)),
            Work::Item(ItemWork::Preview(id)) => format!("preview {}", id.0),
            Work::Item(ItemWork::Finish(id)) => format!("finish {}", id.0),
            Work::Discard(id) => format!("discard {}", id.0),
            Work::Infer(order) => format!("infer #{}", order.0),
            Work::Release(Release { models, uncache, .. }) => {
                let deep = if uncache.is_empty() { "" } else { " and their files" };
                format!("release {}{deep}", models.join(" "))
            }
        },
        Command::Load(Load { model, profile, .. }) => match profile {
            None => format!("load {model}"),
            Some(order) => format!("profile {model} #{}", order.0),
        },
        Command::Prepare { item, .. } => format!("prepare {}", item.0),
        Command::Encode(id) => format!("encode {}", id.0),
        Command::Interrupt(id) => format!("interrupt {}", id.0),
        Command::End { item, error: None, .. } => format!("{} is done", item.0),
        Command::End { item, error: Some(kind), .. } => format!("{} ends {kind}", item.0),
        Command::Answer(order, answer) => {
            let answer = match answer {
                Ok(Answer::Loaded(loaded)) => format!("loaded {loaded}"),
                Ok(Answer::Freed(_)) => "freed".to_owned(),
                Ok(Answer::Awake(models)) => format!("awake [{}]", models.join(" ")),
                Err(error) => error.kind.to_string(),
            };
            format!("answer #{} {answer}", order.0)
        }
        Command::Started => "started".to_owned(),
        Command::Abort => "abort".to_owned(),
        Command::Announce(state) => format!("announce {state}"),
        Command::Stop => "stop".to_owned(),
        Command::Leave(id) => format!("{} leaves", id.0),
        Command::Publish(_) | Command::Forget(_) | Command::ModelsChanged => return None,
    })
}

fn numbers(ids: &[ItemId]) -> String {
    ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(" ")
}
