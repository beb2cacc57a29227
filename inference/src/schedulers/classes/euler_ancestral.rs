//! Euler steps that overshoot and add fresh noise back: ancestral sampling, as k-diffusion wrote
//! it after Ho et al. 2020.

use crate::noise::Draw;
use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Defaults, Spacing, Training, interpolate, k_schedule};
use crate::schedulers::rules::{Memory, Prediction, Rule, Step, ancestral_split, descend};
use crate::schedulers::run::Run;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "EulerAncestralDiscreteScheduler",
        keys: &[keys::TRAINING, &["prediction_type"], keys::SPACING, &["rescale_betas_zero_snr"]],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct EulerAncestral {
    prediction: Prediction,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::PLAIN)?.keep_sigmas_finite();
    training.check_steps(run.steps)?;
    let prediction = Prediction::read_noise_or_velocity(fields)?;
    let offset = fields.integer("steps_offset", 0, 0..=training.len())?;
    let spacing = Spacing::read(fields, "linspace")?;
    let table = training.sigmas();
    let spaced = spacing.timesteps(training.len(), run.steps, offset);
    // single precision before the interpolation, as diffusers has it
    let timesteps: Vec<f32> = spaced.iter().map(|timestep| *timestep as f32).collect();
    let level = |timestep: &f32| interpolate(&table, f64::from(*timestep)) as f32;
    let sigmas = timesteps.iter().map(level).chain([0.0]).collect();
    let schedule = k_schedule(timesteps, sigmas, spacing).drawing(|_| Some(Draw::Normal));
    Ok((schedule, Box::new(EulerAncestral { prediction })))
}

impl Rule for EulerAncestral {
    fn step(&self, mut step: Step<'_>, _: &mut Memory) {
        let (from, to) = step.sigmas();
        let (down, up) = ancestral_split(from, to);
        descend(self.prediction, from, down - from, &mut step);
        step.add_noise(up);
    }
}
