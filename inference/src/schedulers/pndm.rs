//! PNDM: pseudo numerical methods on DDIM's step (Liu et al. 2022, arXiv:2202.09778).
//!
//! With `skip_prk_steps`, as Stable Diffusion has it, a linear multistep rule alone (PLMS, from
//! Katherine Crowson's sampler): its first step is of first order and is then taken again with
//! what its end says, so n steps are n + 1 calls of the model. Without it the paper's algorithm
//! 2: three steps by Runge-Kutta with four calls each (PRK), then the fourth-order multistep rule.

use super::betas::{Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::names::About;
use super::prediction::Prediction;
use super::sigmas::whole_timesteps;
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About {
    name: "PNDMScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "skip_prk_steps",
        "set_alpha_to_one",
        "prediction_type",
        "timestep_spacing",
        "steps_offset",
    ],
    takes: &[],
};

/// Steps that Runge-Kutta takes: as many as the fourth-order rule looks back.
const RUNGE_KUTTA_STEPS: usize = 3;
/// Calls of the model in one of them.
const CALLS_PER_STEP: usize = 4;

pub(super) struct Pndm {
    /// One for each call of the model, and the same as indices into `alphas`.
    timesteps: Vec<f32>,
    calls: Vec<usize>,
    /// ᾱ per training timestep, and the ᾱ that a run ends at.
    alphas: Vec<f32>,
    last_alpha: f32,
    /// Training timesteps in one step.
    stride: usize,
    /// How many of the calls are Runge-Kutta's.
    runge_kutta_calls: usize,
    velocity: bool,
    /// Calls made so far. The rule depends on it, not on the place in `calls`, as in diffusers:
    /// a run that starts in the middle has its warm-up there.
    made: usize,
    /// Model outputs of past steps, newest first; `kept` of them are filled.
    outputs: [Vec<f32>; 4],
    kept: usize,
    /// Where the step began that takes several calls.
    start: Vec<f32>,
    /// The weighted mean of outputs that a step is taken with.
    mean: Vec<f32>,
}

/// What one call leads to: a move from timestep `from` to `to` (none: the run's end), along the
/// mean of several outputs or the call's own.
struct Move {
    from: usize,
    to: Option<usize>,
    by_mean: bool,
}

impl Pndm {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?;
        let steps = whole_timesteps(fields, &training, run)?;
        let stride = training.len() / run.steps;
        let (calls, runge_kutta_calls) = if fields.bool("skip_prk_steps", false)? {
            (multistep_calls(&steps), 0)
        } else if steps.len() > RUNGE_KUTTA_STEPS {
            (runge_kutta_calls(&steps, stride / 2), RUNGE_KUTTA_STEPS * CALLS_PER_STEP)
        } else {
            let reason = "Runge-Kutta takes the first 3 of at least 4 steps; take more steps, or \
                          set skip_prk_steps to true";
            return Err(fields.rejected("skip_prk_steps", false, reason));
        };
        let alphas = training.alphas_cumprod;
        Ok(Self {
            timesteps: calls.iter().map(|timestep| *timestep as f32).collect(),
            calls,
            last_alpha: if fields.bool("set_alpha_to_one", false)? { 1.0 } else { alphas[0] },
            alphas,
            stride,
            runge_kutta_calls,
            velocity: Prediction::read_noise_or_velocity(fields)? == Prediction::Velocity,
            made: 0,
            outputs: Default::default(),
            kept: 0,
            start: Vec::new(),
            mean: Vec::new(),
        })
    }

    /// A Runge-Kutta call (the paper's equation 13). Every call moves on from the step's start:
    /// the first three to where the next one looks, the fourth to the step's end, along the mean
    /// of all four.
    fn runge_kutta(&mut self, timestep: usize, output: &[f32], sample: &mut [f32]) -> Move {
        let call = self.made % CALLS_PER_STEP;
        if call == 0 {
            self.keep(output);
            self.start.copy_from_slice(sample);
            self.mean.fill(0.0);
        } else {
            sample.copy_from_slice(&self.start);
        }
        let weight = if matches!(call, 1 | 2) { 1.0 / 3.0 } else { 1.0 / 6.0 };
        for (mean, output) in self.mean.iter_mut().zip(output) {
            *mean += weight * output;
        }
        // the first and the third call look half a step further, the others where they stand
        let ahead = if call.is_multiple_of(2) { self.stride / 2 } else { 0 };
        Move {
            from: self.calls[self.made - call],
            to: timestep.checked_sub(ahead),
            by_mean: call == CALLS_PER_STEP - 1,
        }
    }

    /// A multistep call (the paper's equation 12, and lower orders while little is known).
    fn multistep(&mut self, timestep: usize, output: &[f32], sample: &mut [f32]) -> Move {
        if self.made == 1 {
            // the first step again, with the mean of the outputs at both its ends
            sample.copy_from_slice(&self.start);
            self.mean.copy_from_slice(output);
            for (mean, first) in self.mean.iter_mut().zip(&self.outputs[0]) {
                *mean = (*mean + first) / 2.0;
            }
            return Move { from: timestep + self.stride, to: Some(timestep), by_mean: true };
        }
        if self.made == 0 {
            self.start.copy_from_slice(sample);
        }
        self.keep(output);
        let (weights, scale): (&[f32], f32) = match self.kept {
            1 => (&[1.0], 1.0),
            2 => (&[3.0, -1.0], 1.0 / 2.0),
            3 => (&[23.0, -16.0, 5.0], 1.0 / 12.0),
            _ => (&[55.0, -59.0, 37.0, -9.0], 1.0 / 24.0),
        };
        self.mean.fill(0.0);
        for (weight, output) in weights.iter().zip(&self.outputs) {
            for (mean, output) in self.mean.iter_mut().zip(output) {
                *mean += weight * output;
            }
        }
        self.mean.iter_mut().for_each(|mean| *mean *= scale);
        Move { from: timestep, to: timestep.checked_sub(self.stride), by_mean: true }
    }

    /// Makes room for the run's samples, once.
    fn make_room(&mut self, length: usize) {
        for buffer in self.outputs.iter_mut().chain([&mut self.start, &mut self.mean]) {
            buffer.resize(length, 0.0);
        }
    }

    fn keep(&mut self, output: &[f32]) {
        self.outputs.rotate_right(1);
        self.outputs[0].copy_from_slice(output);
        self.kept = (self.kept + 1).min(self.outputs.len());
    }

    /// DDIM's step without noise (the paper's equation 9), from anywhere to anywhere.
    fn transfer(&self, way: &Move, output: &[f32], sample: &mut [f32]) {
        let alpha = self.alphas[way.from];
        let alpha_to = way.to.map_or(self.last_alpha, |to| self.alphas[to]);
        let (beta, beta_to) = (1.0 - alpha, 1.0 - alpha_to);
        let keep = (alpha_to / alpha).sqrt();
        let divisor = alpha * beta_to.sqrt() + (alpha * beta * alpha_to).sqrt();
        let rise = alpha_to - alpha;
        let (root_alpha, root_beta) = (alpha.sqrt(), beta.sqrt());
        for (x, output) in sample.iter_mut().zip(output) {
            let epsilon =
                if self.velocity { root_alpha * output + root_beta * *x } else { *output };
            *x = keep * *x - rise * epsilon / divisor;
        }
    }
}

impl Scheduler for Pndm {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let alpha = self.alphas[self.calls[step]];
        mix(alpha.sqrt(), original, (1.0 - alpha).sqrt(), noise, noisy);
    }

    fn step(&mut self, step: usize, model_output: &[f32], sample: &mut [f32], _: Option<&[f32]>) {
        if self.made == 0 {
            self.make_room(sample.len());
        }
        let timestep = self.calls[step];
        let way = if self.made < self.runge_kutta_calls {
            self.runge_kutta(timestep, model_output, sample)
        } else {
            self.multistep(timestep, model_output, sample)
        };
        let output = if way.by_mean { &self.mean } else { model_output };
        self.transfer(&way, output, sample);
        self.made += 1;
    }
}

/// The second step's timestep is called twice: at the end of the first step's two attempts.
fn multistep_calls(steps: &[usize]) -> Vec<usize> {
    let again = steps.get(1).copied();
    steps.iter().take(1).copied().chain(again).chain(steps.iter().skip(1).copied()).collect()
}

/// Four calls for each of the first three steps: at its start, twice in its middle and at its
/// end; the other steps have one each.
fn runge_kutta_calls(steps: &[usize], half: usize) -> Vec<usize> {
    let four = |ends: &[usize]| [ends[0], ends[1] + half, ends[1] + half, ends[1]];
    let first = steps.windows(2).take(RUNGE_KUTTA_STEPS).flat_map(four);
    first.chain(steps.iter().skip(RUNGE_KUTTA_STEPS).copied()).collect()
}
