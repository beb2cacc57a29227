//! Heun's second-order method along the velocity of a flow: an Euler step, then the same step along
//! the mean of the velocities at both its ends. Two calls a step, but for the last.

use super::error::Error;
use super::fields::Fields;
use super::flow_euler::{Shift, even_levels};
use super::k_schedule::twice;
use super::names::About;
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About {
    name: "FlowMatchHeunDiscreteScheduler",
    keys: &["num_train_timesteps", "shift"],
    takes: &[],
};

pub(super) struct FlowHeun {
    timesteps: Vec<f32>,
    /// One for each call, and the one that the run ends at.
    sigmas: Vec<f32>,
    /// Where the step began, and the velocity there.
    start: Vec<f32>,
    velocity: Vec<f32>,
}

impl FlowHeun {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let train = fields.integer("num_train_timesteps", 1000, 1..=100_000)?;
        let shift = Shift(fields.positive("shift", 1.0)?);
        let levels = even_levels(train, run.steps, shift)?;
        let mut sigmas: Vec<f32> = levels.iter().map(|sigma| shift.apply(*sigma) as f32).collect();
        let timesteps: Vec<f32> = sigmas.iter().map(|sigma| sigma * train as f32).collect();
        sigmas.push(0.0);
        Ok(Self {
            timesteps: twice(&timesteps, true),
            sigmas: twice(&sigmas, false),
            start: Vec::new(),
            velocity: Vec::new(),
        })
    }
}

impl Scheduler for FlowHeun {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn order(&self) -> usize {
        2
    }

    fn is_flow(&self) -> bool {
        true
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let sigma = self.sigmas[step];
        mix(1.0 - sigma, original, sigma, noise, noisy);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        _noise: Option<&[f32]>,
    ) {
        let here = self.sigmas[step];
        // by way of the clean sample, as diffusers computes it
        let velocity = |x: f32, output: f32| (x - (x - output * here)) / here;
        if step.is_multiple_of(2) {
            self.start.clear();
            self.start.extend_from_slice(sample);
            self.velocity.clear();
            let velocities = sample.iter().zip(model_output).map(|(x, out)| velocity(*x, *out));
            self.velocity.extend(velocities);
            let change = self.sigmas[step + 1] - here;
            sample.iter_mut().zip(&self.velocity).for_each(|(x, v)| *x += v * change);
            return;
        }
        let change = here - self.sigmas[step - 1];
        let begun = self.start.iter().zip(&self.velocity);
        for ((x, output), (start, first)) in sample.iter_mut().zip(model_output).zip(begun) {
            *x = start + 0.5 * (first + velocity(*x, *output)) * change;
        }
    }
}
