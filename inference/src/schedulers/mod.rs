//! Noise schedules and step rules, each from its paper, one pure struct per file.
//!
//! A scheduler knows no pipeline, draws no noise and reads no clock: it is built for one image's
//! run of steps, and the step noise that stochastic rules need is an argument. Names, keys and
//! numbers are those of diffusers 0.39: a folder's `scheduler_config.json` means here what it
//! means there, and `tests/schedulers.rs` compares the two step by step.
//!
//! # How a pipeline uses it
//!
//! 1. [`build`] with the folder's [`SchedulerConfig`], the caller's [`SchedulerSpec`] and a
//!    [`Run`]. Whoever passes on a caller's `timesteps` or `sigmas` puts them there; a class that
//!    takes no such list refuses it. Where [`DynamicShift::read`] says so, `mu` goes there too.
//! 2. [`Scheduler::timesteps`] has one entry for each call of the model, in order: a step of
//!    Heun's method is two calls, and PNDM's first takes two. Everything else names a call by its
//!    index there. Progress counts calls.
//! 3. Text to image starts at call 0 with unit noise times [`Scheduler::init_noise_sigma`]. Image
//!    to image starts at [`Run::first_call`], with [`Scheduler::add_noise`] of the image's latents
//!    at that call. A run that ends early (`denoising_end`) takes the calls whose timestep is
//!    not below its cut-off; one that starts late (`denoising_start`) those below it, from an even
//!    index on where [`Scheduler::order`] is 2. No other preparation is needed: a scheduler's
//!    warm-up is at the first call it is given, and from there calls come in order.
//! 4. For each call: [`Scheduler::scale_model_input`], the model at the call's timestep, then
//!    [`Scheduler::step`] with the noise that [`Scheduler::step_noise`] names, drawn from the
//!    image's [`NoiseStream`](crate::noise::NoiseStream). Where
//!    [`Scheduler::takes_variance`] says so, the model's output is twice the sample.
//! 5. Inpainting by blending noises the known part with `add_noise` at the next call's index.
//!
//! Read on in `config` (the folder's file), `spec` (a caller's choice), `names` (the table of
//! choices), `betas` and `sigmas` (schedules), then one file per class.

mod betas;
mod config;
mod consistency;
mod conversion;
mod cosine;
mod ddim;
mod ddpm;
mod deis;
mod dpm_multistep;
mod dpm_sde;
mod dpm_singlestep;
mod dpm_update;
mod edm;
mod edm_euler;
mod edm_multistep;
mod error;
mod euler;
mod euler_ancestral;
mod fields;
mod flow_euler;
mod flow_heun;
mod heun;
mod k_schedule;
mod kdpm2;
mod kdpm2_ancestral;
mod lcm;
mod level;
mod lms;
mod multistep;
mod names;
mod pndm;
mod prediction;
mod run;
mod shift;
mod sigmas;
mod solver_schedule;
mod spec;
mod tcd;
mod threshold;
mod unipc;
mod unipc_weights;

pub use config::SchedulerConfig;
pub use error::Error;
pub use names::{Row, table};
pub use run::Run;
pub use shift::DynamicShift;
pub use spec::SchedulerSpec;

use crate::noise::Draw;
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

    /// Calls of the model that one step takes, but for the last: 2 for Heun's method and KDPM2.
    ///
    /// Diffusers' `order`. A run may start at any multiple of it.
    fn order(&self) -> usize {
        1
    }

    /// Whether it steps along a flow-matching model's velocity (Stable Diffusion 3, Flux) rather
    /// than with predictions of noise, sample or v. A pipeline refuses the one it has no use for.
    fn is_flow(&self) -> bool {
        false
    }

    /// Whether the model must predict the noise's variance as well: its output is then twice the
    /// sample, the prediction first.
    fn takes_variance(&self) -> bool {
        false
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

    /// Writes the clean sample `original`, noised to the level of step `step` with unit noise.
    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]);

    /// The noise that step `step` is to be given, if any.
    ///
    /// Also where the rule draws noise and then weighs it with zero, as the last ancestral step
    /// does: the stream must advance as it does in diffusers.
    fn step_noise(&self, step: usize) -> Option<Draw> {
        let _ = step;
        None
    }

    /// Takes step `step`: replaces `sample` with the previous (less noisy) sample.
    ///
    /// `noise` is what [`step_noise`](Self::step_noise) asks for.
    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    );
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
) -> Result<Box<dyn Scheduler>, Error> {
    let class = match spec {
        Some(spec) => spec.class(),
        None => names::find(config.class_name())?.0,
    };
    let fields = Fields::new(class, config, spec);
    run.check()?;
    refuse_foreign(class, run)?;
    Ok(match class {
        Class::Ddpm => Box::new(ddpm::Ddpm::new(&fields, run)?),
        Class::Ddim => Box::new(ddim::Ddim::new(&fields, run)?),
        Class::Pndm => Box::new(pndm::Pndm::new(&fields, run)?),
        Class::Lms => Box::new(lms::Lms::new(&fields, run)?),
        Class::Euler => Box::new(euler::Euler::new(&fields, run)?),
        Class::EulerAncestral => Box::new(euler_ancestral::EulerAncestral::new(&fields, run)?),
        Class::Heun => Box::new(heun::Heun::new(&fields, run)?),
        Class::Kdpm2 => Box::new(kdpm2::Kdpm2::new(&fields, run)?),
        Class::Kdpm2Ancestral => Box::new(kdpm2_ancestral::Kdpm2Ancestral::new(&fields, run)?),
        Class::DpmMultistep => Box::new(dpm_multistep::DpmMultistep::new(&fields, run)?),
        Class::DpmSinglestep => Box::new(dpm_singlestep::DpmSinglestep::new(&fields, run)?),
        Class::DpmSde => Box::new(dpm_sde::DpmSde::new(&fields, run)?),
        Class::Deis => Box::new(deis::Deis::new(&fields, run)?),
        Class::UniPc => Box::new(unipc::UniPc::new(&fields, run)?),
        Class::Lcm => Box::new(lcm::Lcm::new(&fields, run)?),
        Class::Tcd => Box::new(tcd::Tcd::new(&fields, run)?),
        Class::EdmEuler => Box::new(edm_euler::EdmEuler::new(&fields, run)?),
        Class::EdmMultistep => Box::new(edm_multistep::EdmMultistep::new(&fields, run)?),
        Class::FlowEuler => Box::new(flow_euler::FlowEuler::new(&fields, run)?),
        Class::FlowHeun => Box::new(flow_heun::FlowHeun::new(&fields, run)?),
        Class::Consistency => Box::new(consistency::Consistency::new(&fields, run)?),
        Class::Cosine => Box::new(cosine::Cosine::new(&fields, run)?),
    })
}

/// Refuses what the class's `set_timesteps` doesn't take.
fn refuse_foreign(class: Class, run: &Run) -> Result<(), Error> {
    let takes = class.about().takes;
    match run.given().find(|name| !takes.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Error::NotTaken {
            class: class.about().name.into(),
            field: name.into(),
            takers: takers(name),
        }),
    }
}

/// The short names of the classes that take `field`, each class once.
fn takers(field: &str) -> String {
    let takes = |class: &Class| class.about().takes.contains(&field);
    let names = Class::ALL.iter().filter(|class| takes(class)).map(|class| {
        let row = table().into_iter().find(|row| row.class == class.about().name);
        row.map_or(class.about().name, |row| row.name)
    });
    names.collect::<Vec<_>>().join(", ")
}

/// `noisy` = `alpha` · `original` + `sigma` · `noise`: every class's way to a noise level.
fn mix(alpha: f32, original: &[f32], sigma: f32, noise: &[f32], noisy: &mut [f32]) {
    for ((noisy, x), noise) in noisy.iter_mut().zip(original).zip(noise) {
        *noisy = alpha * x + sigma * noise;
    }
}
