//! Noise schedules and step rules, each from its paper, one pure struct per file.
//!
//! A scheduler knows no pipeline, draws no noise and reads no clock: it is built for one image's
//! run of steps, and the step noise that stochastic rules need is an argument. Names, keys and
//! numbers are those of diffusers 0.39: a folder's `scheduler_config.json` means here what it
//! means there, and `tests/schedulers.rs` compares the two step by step.
//!
//! Read on in `config` (the folder's file), `spec` (a caller's choice), `names` (the table of
//! choices), `betas` and `sigmas` (schedules), then one file per class.

mod betas;
mod config;
mod ddim;
mod dpm_multistep;
mod dpm_schedule;
mod error;
mod euler;
mod euler_ancestral;
mod fields;
mod names;
mod pndm;
mod prediction;
mod sigmas;
mod spec;
mod threshold;

pub use config::SchedulerConfig;
pub use error::Error;
pub use names::{Row, table};
pub use spec::SchedulerSpec;

use fields::Fields;
use names::Class;

/// The noise schedule and step rule of one image's denoising run.
///
/// `sample` is the image's latent, flattened; every slice of one run has its length. Steps are
/// taken in order, from any first one on: rules that look back keep what they need themselves.
pub trait Scheduler: Send {
    /// The timesteps given to the model, in the order of the calls: what the other methods call
    /// a step is one call. Some rules make more calls than the run has steps (PNDM).
    ///
    /// In units of the training schedule (0 to `num_train_timesteps`), fractional for some.
    fn timesteps(&self) -> &[f32];

    /// The noise levels of the steps and, last, the level that the run ends at: one more than
    /// there are steps. Empty for rules that are not written in terms of sigmas (DDIM, PNDM).
    fn sigmas(&self) -> &[f32] {
        &[]
    }

    /// The standard deviation that the initial unit noise is multiplied with.
    ///
    /// 1 where the schedule keeps the sample's variance, as it does unless a scheduler says otherwise.
    fn init_noise_sigma(&self) -> f32 {
        1.0
    }

    /// Writes the model's input for step `step` (an index into [`timesteps`](Self::timesteps)).
    ///
    /// The sample itself, unless a scheduler says otherwise.
    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]) {
        let _ = step;
        scaled.copy_from_slice(sample);
    }

    /// Whether step `step` adds noise drawn from the image's noise stream.
    ///
    /// Also true where the rule draws noise and then weighs it with zero, as the last ancestral
    /// step does: the stream must advance as it does in diffusers.
    fn needs_noise(&self, step: usize) -> bool;

    /// Takes step `step`: replaces `sample` with the previous (less noisy) sample.
    ///
    /// `noise` is unit Gaussian noise, given when [`needs_noise`](Self::needs_noise) asks for it.
    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    );
}

/// What one run asks of its scheduler. Make it as `Run { steps: 20, ..Run::default() }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Number of steps, 1 to the schedule's `num_train_timesteps`.
    pub steps: usize,
    /// DDIM's η, 0 (deterministic) to 1 (as noisy as DDPM). The other classes have no use for it.
    pub eta: f32,
}

impl Default for Run {
    /// Diffusers' defaults for Stable Diffusion: 50 steps, η = 0.
    fn default() -> Self {
        Self { steps: 50, eta: 0.0 }
    }
}

/// Builds the scheduler for one run: the folder's own, or the one that `spec` names.
///
/// As diffusers' `Class.from_config(config, **overrides)`: of the folder's keys those count that
/// the class has, and what neither the folder nor `spec` says has the class's default.
///
/// # Errors
/// A class that Hearth doesn't have, a value that the class can't take, a combination that
/// diffusers rejects or that isn't supported yet, and a bad `run`; each names field and value.
pub fn build(
    config: &SchedulerConfig,
    spec: Option<&SchedulerSpec>,
    run: &Run,
) -> Result<Box<dyn Scheduler>, Error> {
    let class = match spec {
        Some(spec) => spec.class(),
        None => names::find(config.class_name())?.0,
    };
    let fields = Fields::new(class, config, spec);
    check(run)?;
    Ok(match class {
        Class::Ddim => Box::new(ddim::Ddim::new(&fields, run)?),
        Class::Euler => Box::new(euler::Euler::new(&fields, run)?),
        Class::EulerAncestral => Box::new(euler_ancestral::EulerAncestral::new(&fields, run)?),
        Class::DpmMultistep => Box::new(dpm_multistep::DpmMultistep::new(&fields, run)?),
        Class::Pndm => Box::new(pndm::Pndm::new(&fields, run)?),
    })
}

/// Checks what doesn't depend on the class; the schedule checks the number of steps.
fn check(run: &Run) -> Result<(), Error> {
    if (0.0..=1.0).contains(&run.eta) {
        return Ok(());
    }
    Err(Error::invalid("eta", run.eta, "a number from 0 to 1"))
}
