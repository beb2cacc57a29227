//! Euler's method along the velocity of a flow (Lipman et al. 2022), with levels shifted towards
//! noise for large images (Esser et al. 2024): Stable Diffusion 3 and Flux.

use super::error::Error;
use super::fields::Fields;
use super::names::About;
use super::sigmas::{Curve, linspace};
use super::solver_schedule::stretch_to;
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About {
    name: "FlowMatchEulerDiscreteScheduler",
    keys: &[
        "num_train_timesteps",
        "shift",
        "use_dynamic_shifting",
        "base_shift",
        "max_shift",
        "base_image_seq_len",
        "max_image_seq_len",
        "invert_sigmas",
        "shift_terminal",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "time_shift_type",
        "stochastic_sampling",
    ],
    takes: &["timesteps", "sigmas", "mu"],
};

pub(super) struct FlowEuler {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    stochastic: bool,
}

/// How a level moves towards noise: σ → w·σ / (1 + (w − 1)·σ).
#[derive(Clone, Copy)]
pub(super) struct Shift(pub(super) f64);

impl Shift {
    pub(super) fn apply(self, sigma: f64) -> f64 {
        self.0 * sigma / (1.0 + (self.0 - 1.0) * sigma)
    }
}

impl FlowEuler {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let train = fields.integer("num_train_timesteps", 1000, 1..=100_000)?;
        let fixed = Shift(fields.positive("shift", 1.0)?);
        let dynamic = dynamic_shift(fields, run)?;
        let given = match (&run.timesteps, &run.sigmas) {
            (Some(timesteps), _) => Some(timesteps.iter().map(|t| t / train as f64).collect()),
            (_, given) => given.clone(),
        };
        let mut sigmas = match given {
            Some(sigmas) => sigmas,
            None => {
                even_levels(train, run.steps, if dynamic.is_some() { Shift(1.0) } else { fixed })?
            }
        };
        let shift = dynamic.unwrap_or(fixed);
        sigmas.iter_mut().for_each(|sigma| *sigma = shift.apply(*sigma));
        if let Some(end) = fields.optional_number("shift_terminal")?.filter(|end| *end != 0.0) {
            if !(0.0..1.0).contains(&end) {
                let expected = "a number from 0 to below 1, or null";
                return Err(Error::invalid("shift_terminal", end, expected));
            }
            stretch_to(end, &mut sigmas);
        }
        if let Some(curve) = Curve::read(fields)? {
            let (min, max) = Curve::range(fields, sigmas[sigmas.len() - 1], sigmas[0])?;
            sigmas = curve.levels(min, max, sigmas.len());
        }
        if sigmas.iter().any(|sigma| !sigma.is_finite()) {
            let reason = "the levels would not be finite; take more steps, or other levels";
            return Err(fields.rejected("num_inference_steps", sigmas.len(), reason));
        }
        Self::over(fields, &sigmas, train as f32, run)
    }

    fn over(fields: &Fields<'_>, sigmas: &[f64], train: f32, run: &Run) -> Result<Self, Error> {
        let mut sigmas: Vec<f32> = sigmas.iter().map(|sigma| *sigma as f32).collect();
        let inverted = fields.bool("invert_sigmas", false)?;
        if inverted {
            sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - *sigma);
        }
        let timesteps = match &run.timesteps {
            Some(given) if !inverted => given.iter().map(|timestep| *timestep as f32).collect(),
            _ => sigmas.iter().map(|sigma| sigma * train).collect(),
        };
        sigmas.push(if inverted { 1.0 } else { 0.0 });
        Ok(Self { timesteps, sigmas, stochastic: fields.bool("stochastic_sampling", false)? })
    }
}

/// The shift for the image's size, where the config asks for one.
fn dynamic_shift(fields: &Fields<'_>, run: &Run) -> Result<Option<Shift>, Error> {
    let kinds = [("exponential", true), ("linear", false)];
    let exponential = fields.choice("time_shift_type", "exponential", &kinds)?;
    if !fields.bool("use_dynamic_shifting", false)? {
        return Ok(None);
    }
    let Some(mu) = run.mu else {
        let reason = "the shift for the image's size, mu, is not given";
        return Err(fields.rejected("use_dynamic_shifting", true, reason));
    };
    Ok(Some(Shift(if exponential { mu.exp() } else { mu })))
}

/// Even levels from the schedule's noisiest to its quietest. Both ends are shifted already, as in
/// diffusers, which then shifts all of them again.
pub(super) fn even_levels(train: usize, steps: usize, shift: Shift) -> Result<Vec<f64>, Error> {
    if !(1..=train).contains(&steps) {
        let expected = format!("a whole number from 1 to {train}, num_train_timesteps");
        return Err(Error::invalid("num_inference_steps", steps, expected));
    }
    let (length, weight) = (train as f32, shift.0 as f32);
    let end = |timestep: f32| {
        let sigma = timestep / length;
        f64::from(weight * sigma / (1.0 + (weight - 1.0) * sigma)) * train as f64
    };
    let timesteps = linspace(end(length), end(1.0), steps);
    Ok(timesteps.iter().map(|timestep| timestep / train as f64).collect())
}

impl Scheduler for FlowEuler {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn is_flow(&self) -> bool {
        true
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let sigma = self.sigmas[step];
        mix(1.0 - sigma, original, sigma, noise, noisy);
    }

    fn step_noise(&self, _step: usize) -> Option<Draw> {
        self.stochastic.then_some(Draw::Normal)
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let (sigma, next) = (self.sigmas[step], self.sigmas[step + 1]);
        if let Some(noise) = noise.filter(|_| self.stochastic) {
            for ((x, output), noise) in sample.iter_mut().zip(model_output).zip(noise) {
                let clean = *x - sigma * output;
                *x = (1.0 - next) * clean + next * noise;
            }
            return;
        }
        let change = next - sigma;
        sample.iter_mut().zip(model_output).for_each(|(x, output)| *x += change * output);
    }
}
