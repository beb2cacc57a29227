//! DPM2 with ancestral noise: the midpoint method down to a level below the target, then fresh
//! noise up to it.

use super::error::Error;
use super::fields::Fields;
use super::k_schedule::{ancestral_split, scale_to_unit_variance};
use super::kdpm2::{KEYS, Midpoints, midpoint_call};
use super::names::About;
use super::prediction::Prediction;
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About =
    About { name: "KDPM2AncestralDiscreteScheduler", keys: KEYS, takes: &[] };

pub(super) struct Kdpm2Ancestral {
    levels: Midpoints,
    prediction: Prediction,
    /// Where the step began.
    start: Vec<f32>,
}

impl Kdpm2Ancestral {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        Ok(Self {
            levels: Midpoints::read(fields, run, middle_of_descent)?,
            prediction: Prediction::read_noise_or_velocity(fields)?,
            start: Vec::new(),
        })
    }
}

impl Scheduler for Kdpm2Ancestral {
    fn timesteps(&self) -> &[f32] {
        &self.levels.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.levels.calls
    }

    fn order(&self) -> usize {
        2
    }

    fn init_noise_sigma(&self) -> f32 {
        self.levels.init_noise_sigma
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        mix(1.0, original, self.levels.calls[step], noise, noisy);
    }

    fn step_noise(&self, step: usize) -> Option<Draw> {
        (!step.is_multiple_of(2)).then_some(Draw::Normal)
    }

    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]) {
        scale_to_unit_variance(self.levels.at(step), sample, scaled);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let (first, number) = (step.is_multiple_of(2), step / 2);
        let (begun, next) = (self.levels.steps[number], self.levels.steps[number + 1]);
        let (down, up) = ancestral_split(begun, next);
        let to = if first { self.levels.middles[number] } else { down };
        let at = self.levels.at(step);
        midpoint_call(
            self.prediction,
            at,
            to - begun,
            &mut self.start,
            first,
            model_output,
            sample,
        );
        debug_assert!(first || noise.is_some(), "an ancestral step needs its noise");
        if !first {
            let noise = noise.unwrap_or_default();
            sample.iter_mut().zip(noise).for_each(|(x, noise)| *x += noise * up);
        }
    }
}

/// The middle, in ln σ, of the way down to below the next level; 0 where that one is 0.
fn middle_of_descent(from: f32, next: f32) -> f32 {
    let (down, _) = ancestral_split(from, next);
    if down == 0.0 {
        return 0.0;
    }
    let (from, down) = (from.ln(), down.ln());
    (down - (down - from) * 0.5).exp()
}
