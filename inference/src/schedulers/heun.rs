//! Heun's second-order method (Karras et al. 2022, algorithm 1): an Euler step, then the same step
//! along the mean of the slopes at both its ends. Two calls a step, but for the last.

use super::betas::{Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::k_schedule::{Habits, KSchedule, init_noise_sigma, scale_to_unit_variance, twice};
use super::names::About;
use super::prediction::Prediction;
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About {
    name: "HeunDiscreteScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "prediction_type",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "clip_sample",
        "clip_sample_range",
        "timestep_spacing",
        "steps_offset",
    ],
    takes: &["timesteps"],
};

pub(super) struct Heun {
    timesteps: Vec<f32>,
    /// One for each call, and the one that the run ends at.
    sigmas: Vec<f32>,
    prediction: Prediction,
    clip: Option<f32>,
    init_noise_sigma: f32,
    /// Where the step began, and the slope there.
    start: Vec<f32>,
    slope: Vec<f32>,
}

impl Heun {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::HEUN)?;
        let schedule = KSchedule::read(fields, &training, run, &Habits::default())?;
        let sigmas = twice(&schedule.levels_to(0.0), false);
        let timesteps = twice(&schedule.timesteps, true);
        let range = fields.positive("clip_sample_range", 1.0)? as f32;
        Ok(Self {
            timesteps: timesteps.iter().map(|timestep| *timestep as f32).collect(),
            prediction: fields.choice("prediction_type", "epsilon", &Prediction::ALL)?,
            clip: fields.bool("clip_sample", false)?.then_some(range),
            init_noise_sigma: init_noise_sigma(&sigmas, schedule.spacing),
            sigmas,
            start: Vec::new(),
            slope: Vec::new(),
        })
    }
}

impl Scheduler for Heun {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn order(&self) -> usize {
        2
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

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        _noise: Option<&[f32]>,
    ) {
        let here = self.sigmas[step];
        let (prediction, clip) = (self.prediction, self.clip);
        let slope = |x: f32, output: f32| {
            let clean = prediction.denoised(here, output, x);
            let clean = clip.map_or(clean, |range| clean.max(-range).min(range));
            (x - clean) / here
        };
        if step.is_multiple_of(2) {
            self.start.clear();
            self.start.extend_from_slice(sample);
            self.slope.clear();
            self.slope.extend(sample.iter().zip(model_output).map(|(x, out)| slope(*x, *out)));
            let change = self.sigmas[step + 1] - here;
            sample.iter_mut().zip(&self.slope).for_each(|(x, slope)| *x += slope * change);
            return;
        }
        let change = here - self.sigmas[step - 1];
        let begun = self.start.iter().zip(&self.slope);
        for ((x, output), (start, first)) in sample.iter_mut().zip(model_output).zip(begun) {
            *x = start + (first + slope(*x, *output)) / 2.0 * change;
        }
    }
}
