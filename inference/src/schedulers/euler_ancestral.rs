//! Euler steps that overshoot and add fresh noise back: ancestral sampling, as k-diffusion wrote
//! it after Ho et al. 2020.

use super::betas::{Defaults, Training};
use super::error::Error;
use super::euler::descend;
use super::fields::Fields;
use super::k_schedule::{ancestral_split, init_noise_sigma, scale_to_unit_variance};
use super::names::About;
use super::prediction::Prediction;
use super::sigmas::{Spacing, interpolate};
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About {
    name: "EulerAncestralDiscreteScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "prediction_type",
        "timestep_spacing",
        "steps_offset",
        "rescale_betas_zero_snr",
    ],
    takes: &[],
};

pub(super) struct EulerAncestral {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    prediction: Prediction,
    init_noise_sigma: f32,
}

impl EulerAncestral {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?.keep_sigmas_finite();
        training.check_steps(run.steps)?;
        let prediction = Prediction::read_noise_or_velocity(fields)?;
        let offset = fields.integer("steps_offset", 0, 0..=training.len())?;
        let spacing = Spacing::read(fields, "linspace")?;
        let table = training.sigmas();
        // single precision before the interpolation, as diffusers has it
        let timesteps: Vec<f32> = spacing
            .timesteps(training.len(), run.steps, offset)
            .iter()
            .map(|timestep| *timestep as f32)
            .collect();
        let level = |timestep: &f32| interpolate(&table, f64::from(*timestep)) as f32;
        let sigmas: Vec<f32> = timesteps.iter().map(level).chain([0.0]).collect();
        Ok(Self {
            timesteps,
            init_noise_sigma: init_noise_sigma(&sigmas, spacing),
            sigmas,
            prediction,
        })
    }
}

impl Scheduler for EulerAncestral {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        mix(1.0, original, self.sigmas[step], noise, noisy);
    }

    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]) {
        scale_to_unit_variance(self.sigmas[step], sample, scaled);
    }

    fn step_noise(&self, _step: usize) -> Option<Draw> {
        Some(Draw::Normal)
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        debug_assert!(noise.is_some(), "an ancestral step needs its noise");
        let (from, to) = (self.sigmas[step], self.sigmas[step + 1]);
        let (down, up) = ancestral_split(from, to);
        descend(self.prediction, from, down - from, model_output, sample);
        for (x, noise) in sample.iter_mut().zip(noise.unwrap_or_default()) {
            *x += noise * up;
        }
    }
}
