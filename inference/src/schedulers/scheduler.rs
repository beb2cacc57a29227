//! A scheduler of one run: a schedule, its class's rule, and what the rule remembers.

use std::sync::Arc;

use super::about::About;
use super::class::Class;
use super::config::SchedulerConfig;
use super::error::Error;
use super::fields::Fields;
use super::rules::{Memory, Rule, Snapshot, Step};
use super::run::Run;
use super::schedule::Schedule;
use super::spec::SchedulerSpec;
use super::table;

/// The noise schedule and step rule of one image's denoising run.
///
/// Calls are taken in order, from any first one on.
#[derive(Debug)]
pub struct Scheduler {
    schedule: Arc<Schedule>,
    rule: Arc<dyn Rule>,
    memory: Memory,
}

impl Scheduler {
    /// Another one for a run of the same kind, which has taken no call yet: what calls don't change
    /// is there once.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let (schedule, rule) = (Arc::clone(&self.schedule), Arc::clone(&self.rule));
        Self { schedule, rule, memory: Memory::default() }
    }

    /// The run's calls.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Takes call `call`: replaces `sample` with the previous (less noisy) sample.
    ///
    /// `sample` is the image's latent, flattened; every slice of one run has its length, but for an
    /// output with a predicted variance. `noise` is what [`Schedule::step_noise`] asks for.
    pub fn step(
        &mut self,
        call: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let Self { schedule, rule, memory } = self;
        let noise = noise.filter(|_| schedule.step_noise(call).is_some());
        rule.step(Step { schedule, call, output: model_output, sample, noise }, memory);
        memory.state.taken += 1;
    }

    /// What it remembers of the calls that were taken.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.memory.state.clone()
    }

    /// Goes on where `snapshot` was taken, in a scheduler that was built from the same config, spec
    /// and run; the sample has `length` numbers.
    ///
    /// # Errors
    /// A snapshot that can't be of such a run.
    pub fn restore(&mut self, snapshot: Snapshot, length: usize) -> Result<(), Error> {
        snapshot.check(self.schedule.timesteps.len(), length)?;
        self.memory.state = snapshot;
        Ok(())
    }
}

/// What is known of the class that [`build`] would take, where Hearth has it.
#[must_use]
pub fn about(config: &SchedulerConfig, spec: Option<&SchedulerSpec>) -> Option<&'static About> {
    class(config, spec).ok().map(|class| &class.about)
}

fn class(config: &SchedulerConfig, spec: Option<&SchedulerSpec>) -> Result<&'static Class, Error> {
    spec.map_or_else(|| config.class(), |spec| Ok(spec.class()))
}

/// Builds the scheduler for one run: the folder's own, or the one that `spec` names.
///
/// As diffusers' `Class.from_config(config, **overrides)`: of the folder's keys those count that
/// the class has, and what neither the folder nor `spec` says has the class's default.
///
/// # Errors
/// A class that Hearth doesn't have, a value that the class can't take, a combination that
/// diffusers rejects or runs into NaN with, and a bad `run`; each names field and value.
pub fn build(
    config: &SchedulerConfig,
    spec: Option<&SchedulerSpec>,
    run: &Run,
) -> Result<Scheduler, Error> {
    let class = class(config, spec)?;
    run.check()?;
    if let Some(name) = run.given().find(|name| !class.about.takes.contains(name)) {
        return Err(Error::NotTaken {
            class: class.about.name.into(),
            field: name.into(),
            takers: table::takers(name),
        });
    }
    let layers = spec.into_iter().flat_map(SchedulerSpec::layers).chain([config.values()]);
    let fields = Fields::new(&class.about, layers.collect());
    let (schedule, rule) = (class.build)(&fields, run)?;
    Ok(Scheduler { schedule: Arc::new(schedule), rule: rule.into(), memory: Memory::default() })
}
