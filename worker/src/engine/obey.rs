//! What the engine's thread does besides parts: models come and go, and graphs run by themselves.

use std::collections::BTreeSet;
use std::time::Instant;

use hearth_api::CallError;
use hearth_inference::model::Model;
use hearth_inference::progress::Progress;

use super::load::ToLoad;
use super::order::{Freed, Infer, Order, Profile, Profiles, Reply};
use super::{LoadError, Running, Times, caught, infer, memory, own_fault};
use crate::models::{Hold, Known};
use crate::parts::{Ended, Job};
use crate::state;

/// What waits for a model that is being loaded.
pub(super) enum Waiting {
    Part { job: Job, times: Times, since: Instant },
    Infer(Box<Infer>),
}

impl Waiting {
    pub(super) fn is_part(&self) -> bool {
        matches!(self, Self::Part { .. })
    }

    fn model(&self) -> &str {
        match self {
            Self::Part { job, .. } => &job.model,
            Self::Infer(infer) => &infer.model,
        }
    }
}

/// A worker that wakes up.
pub(super) struct Waking {
    /// Models that are not there yet.
    left: BTreeSet<String>,
    back: Vec<String>,
    /// Why one did not come back.
    error: Option<CallError>,
    replies: Vec<Reply<Vec<String>>>,
}

impl Running {
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Load { name, added, reply } => self.load(name, added, reply),
            Order::Unload { name, reply } => self.unload(&name, reply),
            Order::Sleep { level, reply } => self.sleep(level, reply),
            Order::Wake { reply } => self.wake(reply),
            Order::Infer(infer) => self.infer(infer),
            Order::Profile(profile) => self.profile(profile),
            Order::Loaded { name, outcome } => self.loaded(&name, outcome),
            Order::Profiled { name, outcome, profile, reply } => {
                self.profiled(&name, outcome, profile, reply);
            }
        }
    }

    /// Has a model loaded, unless that is under way.
    pub(super) fn want(&mut self, name: &str) -> Result<(), CallError> {
        if self.loads.contains_key(name) {
            return Ok(());
        }
        // A model that failed a moment ago, or was unloaded, is refused with the reason.
        self.shared.models.resolve(Some(name), Instant::now())?;
        self.send(name, None)
    }

    fn send(&mut self, name: &str, profile: Option<Box<Profile>>) -> Result<(), CallError> {
        let Some(model) = self.shared.models.get(name) else { return Err(own_fault()) };
        let progress = Progress::default();
        let loading = Hold::Loading(progress.clone());
        self.loader.load(ToLoad { name: name.to_owned(), path: model.path, progress, profile })?;
        self.shared.models.set(name, loading);
        self.loads.entry(name.to_owned()).or_default();
        Ok(())
    }

    fn load(&mut self, name: String, added: bool, reply: Reply<bool>) {
        if self.pipelines.contains_key(&name) {
            return drop(reply.send(Ok(false)));
        }
        if !self.loads.contains_key(&name)
            && let Err(error) = self.send(&name, None)
        {
            if added {
                self.shared.models.forget(&name);
            }
            return drop(reply.send(Err(error)));
        }
        self.loads.entry(name).or_default().push((added, reply));
    }

    fn loaded(&mut self, name: &str, outcome: Result<Box<dyn Model>, LoadError>) {
        let replies = self.loads.remove(name).unwrap_or_default();
        let models = &self.shared.models;
        let outcome = match outcome {
            Ok(pipeline) => {
                let description = Known::of(pipeline.as_ref());
                if self.asleep {
                    // It fell asleep meanwhile.
                    models.set(name, Hold::Sleeping(description));
                    Err(state::sleeping())
                } else {
                    models.set(name, Hold::Ready(description));
                    self.pipelines.insert(name.to_owned(), pipeline);
                    Ok(())
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a model can't be loaded"
                );
                let error = CallError::from(&error);
                if replies.iter().any(|(added, _)| *added) {
                    models.forget(name);
                } else {
                    models.set_failed(name, error.clone(), Instant::now());
                }
                Err(error)
            }
        };
        for (_, reply) in replies {
            let _ = reply.send(outcome.clone().map(|()| true));
        }
        self.waiters_of(name, &outcome);
        self.woken(name, &outcome);
    }

    /// What waited for a model goes on, or fails as it did.
    fn waiters_of(&mut self, name: &str, outcome: &Result<(), CallError>) {
        let (ready, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|it| it.model() == name);
        self.waiting = waiting;
        for waiting in ready {
            match (waiting, outcome) {
                (Waiting::Part { job, mut times, since }, Ok(())) => {
                    times.model_load = since.elapsed();
                    self.begin_now(job, times);
                }
                (Waiting::Part { job, .. }, Err(error)) => {
                    // Another worker's copy may be whole.
                    let error = CallError { retryable: true, ..error.clone() };
                    self.shared.ended(&job, Err(Ended::Failed(error)));
                }
                (Waiting::Infer(infer), Ok(())) => self.infer(infer),
                (Waiting::Infer(infer), Err(error)) => drop(infer.reply.send(Err(error.clone()))),
            }
        }
    }

    fn unload(&mut self, name: &str, reply: Reply<Freed>) {
        let device = self.device_bytes(std::iter::once(name));
        let pipeline = self.pipelines.remove(name);
        let freed = memory::freed(&self.shared, device, || drop(pipeline));
        self.shared.models.unloaded(name);
        tracing::info!(model = name, freed = freed.resident, "model unloaded");
        let _ = reply.send(Ok(freed));
    }

    /// Bytes of weights of loaded models that are in a device's own memory.
    fn device_bytes<'a>(&self, names: impl Iterator<Item = &'a str>) -> u64 {
        let loaded = names.filter_map(|name| self.pipelines.get(name));
        let descriptions = loaded.map(|pipeline| pipeline.description());
        descriptions.filter(|known| known.device != "cpu").map(|known| known.weight_bytes).sum()
    }

    fn sleep(&mut self, level: u8, reply: Reply<Freed>) {
        self.asleep = true;
        let device = self.device_bytes(self.pipelines.keys().map(String::as_str));
        let pipelines = std::mem::take(&mut self.pipelines);
        for (name, pipeline) in &pipelines {
            let description = Known::of(pipeline.as_ref());
            self.shared.models.set(name, Hold::Sleeping(description));
        }
        let freed = memory::freed(&self.shared, device, || drop(pipelines));
        if level > 1 {
            let sleeping = self.shared.models.names(|hold| matches!(hold, Hold::Sleeping(_)));
            for model in sleeping.iter().filter_map(|name| self.shared.models.get(name)) {
                memory::uncache(&model.path);
            }
        }
        tracing::info!(level, freed = freed.resident, device = freed.device, "asleep");
        let _ = reply.send(Ok(freed));
    }

    fn wake(&mut self, reply: Reply<Vec<String>>) {
        if let Some(waking) = &mut self.waking {
            return waking.replies.push(reply);
        }
        if !std::mem::replace(&mut self.asleep, false) {
            return drop(reply.send(Ok(Vec::new())));
        }
        let names = self.shared.models.names(|hold| matches!(hold, Hold::Sleeping(_)));
        self.shared.wake(true);
        let mut waking = Waking {
            left: names.iter().cloned().collect(),
            back: Vec::new(),
            error: None,
            replies: vec![reply],
        };
        for name in names {
            if let Err(error) = self.send(&name, None) {
                self.shared.models.set_failed(&name, error.clone(), Instant::now());
                waking.left.remove(&name);
                waking.error = Some(error);
            }
        }
        self.waking = Some(waking);
        self.awake_if_all_there();
    }

    fn woken(&mut self, name: &str, outcome: &Result<(), CallError>) {
        let Some(waking) = &mut self.waking else { return };
        if waking.left.remove(name) {
            match outcome {
                Ok(()) => waking.back.push(name.to_owned()),
                Err(error) => waking.error = Some(error.clone()),
            }
            self.awake_if_all_there();
        }
    }

    fn awake_if_all_there(&mut self) {
        let Some(waking) = self.waking.take_if(|waking| waking.left.is_empty()) else { return };
        self.shared.loaded();
        tracing::info!(models = waking.back.len(), "awake");
        let outcome = waking.error.map_or(Ok(waking.back), Err);
        for reply in waking.replies {
            let _ = reply.send(outcome.clone());
        }
    }

    fn infer(&mut self, infer: Box<Infer>) {
        if infer.reply.is_closed() {
            return;
        }
        let Some(pipeline) = self.pipelines.get_mut(&infer.model) else {
            return match self.want(&infer.model) {
                Ok(()) => self.waiting.push(Waiting::Infer(infer)),
                Err(error) => drop(infer.reply.send(Err(error))),
            };
        };
        let run = || caught(|| infer::run(pipeline.as_mut(), &infer));
        let outcome = self.shared.engine.during(run).unwrap_or_else(|| Err(own_fault()));
        let _ = infer.reply.send(outcome);
    }

    /// Drops the model, and has it profiled and loaded again.
    fn profile(&mut self, profile: Box<Profile>) {
        let name = profile.model.clone();
        let Some(pipeline) = self.pipelines.remove(&name) else {
            return drop(profile.reply.send(Err(own_fault())));
        };
        if profile.reply.is_closed() {
            // Nobody waits for it any more.
            self.shared.models.set(&name, Hold::Ready(Known::of(pipeline.as_ref())));
            self.pipelines.insert(name, pipeline);
            return;
        }
        drop(pipeline);
        if let Err(error) = self.send(&name, Some(profile)) {
            self.shared.models.set_failed(&name, error, Instant::now());
        }
    }

    fn profiled(
        &mut self,
        name: &str,
        outcome: Result<Box<dyn Model>, LoadError>,
        profile: Result<Profiles, CallError>,
        reply: Reply<Profiles>,
    ) {
        self.loaded(name, outcome);
        let _ = reply.send(profile);
    }
}
