//! PNDM: pseudo numerical methods on DDIM's step (Liu et al. 2022, arXiv:2202.09778).
//!
//! With `skip_prk_steps`, as Stable Diffusion has it, a linear multistep rule alone (PLMS, from
//! Katherine Crowson's sampler): its first step is of first order and is then taken again with
//! what its end says, so n steps are n + 1 calls of the model. Without it the paper's algorithm
//! 2: three steps by Runge-Kutta with four calls each (PRK), then the fourth-order multistep rule.

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Defaults, Training, whole_timesteps};
use crate::schedulers::rules::{Memory, Prediction, Rule, Snapshot, Step};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "PNDMScheduler",
        keys: &[
            keys::TRAINING,
            &["skip_prk_steps", "set_alpha_to_one", "prediction_type"],
            keys::SPACING,
        ],
        ..About::USUAL
    },
    build,
};

/// Steps that Runge-Kutta takes: as many as the fourth-order rule looks back.
const RUNGE_KUTTA_STEPS: usize = 3;
/// Calls of the model in one of them.
const CALLS_PER_STEP: usize = 4;
/// Outputs that the multistep rule looks back on.
const OUTPUTS: usize = 4;

#[derive(Debug)]
struct Pndm {
    /// The calls' timesteps, as indices into `alphas`.
    calls: Vec<usize>,
    /// ᾱ per training timestep, and the ᾱ that a run ends at.
    alphas: Vec<f32>,
    last_alpha: f32,
    /// Training timesteps in one step.
    stride: usize,
    /// How many of the calls are Runge-Kutta's.
    runge_kutta_calls: usize,
    velocity: bool,
}

/// What one call leads to: a move from timestep `from` to `to` (none: the run's end), along the
/// mean of several outputs or the call's own.
struct Move {
    from: usize,
    to: Option<usize>,
    by_mean: bool,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
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
    let schedule = Schedule::preserving(&calls, &alphas);
    let rule = Pndm {
        calls,
        last_alpha: if fields.bool("set_alpha_to_one", false)? { 1.0 } else { alphas[0] },
        alphas,
        stride,
        runge_kutta_calls,
        velocity: Prediction::read_noise_or_velocity(fields)? == Prediction::Velocity,
    };
    Ok((schedule, Box::new(rule)))
}

impl Pndm {
    /// A Runge-Kutta call (the paper's equation 13). Every call moves on from the step's start:
    /// the first three to where the next one looks, the fourth to the step's end, along the mean
    /// of all four.
    fn runge_kutta(&self, step: &mut Step<'_>, state: &mut Snapshot) -> Move {
        let call = state.taken % CALLS_PER_STEP;
        if call == 0 {
            remember(step, state);
            state.begin(step.sample);
            clear(&mut state.slope, step.sample.len());
        } else {
            state.rewind(step.sample);
        }
        let weight = if matches!(call, 1 | 2) { 1.0 / 3.0 } else { 1.0 / 6.0 };
        add(&mut state.slope, weight, step.output);
        // the first and the third call look half a step further, the others where they stand
        let ahead = if call.is_multiple_of(2) { self.stride / 2 } else { 0 };
        Move {
            from: self.calls[state.taken - call],
            to: self.calls[step.call].checked_sub(ahead),
            by_mean: call == CALLS_PER_STEP - 1,
        }
    }

    /// A multistep call (the paper's equation 12, and lower orders while little is known).
    fn multistep(&self, step: &mut Step<'_>, state: &mut Snapshot) -> Move {
        let timestep = self.calls[step.call];
        if state.taken == 1 {
            // the first step again, with the mean of the outputs at both its ends
            state.rewind(step.sample);
            state.slope.clear();
            state.slope.extend_from_slice(step.output);
            let first = state.history.first().map_or(&[][..], Vec::as_slice);
            for (mean, first) in state.slope.iter_mut().zip(first) {
                *mean = (*mean + first) / 2.0;
            }
            return Move { from: timestep + self.stride, to: Some(timestep), by_mean: true };
        }
        if state.taken == 0 {
            state.begin(step.sample);
        }
        remember(step, state);
        let (weights, scale): (&[f32], f32) = match state.history.len() {
            1 => (&[1.0], 1.0),
            2 => (&[3.0, -1.0], 1.0 / 2.0),
            3 => (&[23.0, -16.0, 5.0], 1.0 / 12.0),
            _ => (&[55.0, -59.0, 37.0, -9.0], 1.0 / 24.0),
        };
        clear(&mut state.slope, step.sample.len());
        for (weight, output) in weights.iter().zip(&state.history) {
            add(&mut state.slope, *weight, output);
        }
        state.slope.iter_mut().for_each(|mean| *mean *= scale);
        Move { from: timestep, to: timestep.checked_sub(self.stride), by_mean: true }
    }

    /// DDIM's step without noise (the paper's equation 9), from anywhere to anywhere.
    fn transfer(&self, way: &Move, output: &[f32], sample: &mut [f32]) {
        // another run's snapshot may lead beyond the schedule
        let alpha = |timestep: usize| self.alphas[timestep.min(self.alphas.len() - 1)];
        let (alpha, alpha_to) = (alpha(way.from), way.to.map_or(self.last_alpha, alpha));
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

impl Rule for Pndm {
    /// It depends on the calls taken, not on the place among them, as in diffusers: a run that
    /// starts in the middle has its warm-up there.
    fn step(&self, mut step: Step<'_>, memory: &mut Memory) {
        let state = &mut memory.state;
        let way = if state.taken < self.runge_kutta_calls {
            self.runge_kutta(&mut step, state)
        } else {
            self.multistep(&mut step, state)
        };
        let output = if way.by_mean { state.slope.as_slice() } else { step.output };
        self.transfer(&way, output, step.sample);
    }
}

fn remember(step: &Step<'_>, state: &mut Snapshot) {
    let length = step.sample.len();
    state.remember(OUTPUTS, length).copy_from_slice(&step.output[..length]);
}

fn clear(mean: &mut Vec<f32>, length: usize) {
    mean.clear();
    mean.resize(length, 0.0);
}

fn add(mean: &mut [f32], weight: f32, output: &[f32]) {
    mean.iter_mut().zip(output).for_each(|(mean, output)| *mean += weight * output);
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
