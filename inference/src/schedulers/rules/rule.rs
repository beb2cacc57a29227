//! The seam between a run and the classes' rules: one call's step.

use std::fmt;

use super::memory::Memory;
use crate::schedulers::schedule::{Mixture, Schedule};

/// How a class steps: the numbers of one run, which no call changes.
///
/// What changes from call to call is in [`Memory`], so that a run can be saved and restored without
/// any class's help.
pub(crate) trait Rule: fmt::Debug + Send + Sync {
    /// Replaces the step's sample with the previous (less noisy) one.
    fn step(&self, step: Step<'_>, memory: &mut Memory);
}

/// One call's step.
pub(crate) struct Step<'a> {
    pub(crate) schedule: &'a Schedule,
    /// The call's index in the schedule.
    pub(crate) call: usize,
    /// The model's output, with the predicted variance behind it where the schedule says so.
    pub(crate) output: &'a [f32],
    /// The image's latent, flattened.
    pub(crate) sample: &'a mut [f32],
    /// What the schedule says is drawn for this call.
    pub(crate) noise: Option<&'a [f32]>,
}

impl Step<'_> {
    /// The noise levels at the call and at the next one (for the last: the run's end).
    pub(crate) fn sigmas(&self) -> (f32, f32) {
        (self.schedule.sigmas[self.call], self.schedule.sigmas[self.call + 1])
    }

    /// What the sample is made of.
    pub(crate) fn mixture(&self) -> Mixture {
        self.schedule.mixtures[self.call]
    }

    /// Whether a step of two calls begins here.
    pub(crate) fn begins(&self) -> bool {
        self.call.is_multiple_of(2)
    }

    /// Adds the call's noise, where any is drawn.
    pub(crate) fn add_noise(&mut self, weight: f32) {
        if let Some(noise) = self.noise {
            self.sample.iter_mut().zip(noise).for_each(|(x, noise)| *x += weight * noise);
        }
    }

    /// Noises the sample by its mixture with the call's noise, where any is drawn.
    pub(crate) fn blend_noise(self, Mixture { alpha, sigma }: Mixture) {
        if let Some(noise) = self.noise {
            self.sample.iter_mut().zip(noise).for_each(|(x, z)| *x = alpha * *x + sigma * z);
        }
    }

    /// Replaces each number of the sample by a function of it and the model's output.
    pub(crate) fn map(&mut self, rule: impl Fn(f32, f32) -> f32) {
        for (x, output) in self.sample.iter_mut().zip(self.output) {
            *x = rule(*x, *output);
        }
    }
}
