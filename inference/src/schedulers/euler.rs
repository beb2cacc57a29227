//! Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 1 in its
//! deterministic form).
//!
//! Leaves out the churn of algorithm 2, which diffusers' pipelines never switch on.

use super::betas::{self, Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::k_schedule::{Habits, KSchedule, init_noise_sigma, scale_to_unit_variance};
use super::names::About;
use super::prediction::Prediction;
use super::sigmas::{Curve, Spacing, logarithms, sigma_to_timestep};
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About {
    name: "EulerDiscreteScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "prediction_type",
        "interpolation_type",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "sigma_min",
        "sigma_max",
        "timestep_spacing",
        "timestep_type",
        "steps_offset",
        "rescale_betas_zero_snr",
        "final_sigmas_type",
    ],
    takes: &["timesteps", "sigmas"],
};

pub(super) struct Euler {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    prediction: Prediction,
    init_noise_sigma: f32,
}

impl Euler {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?.keep_sigmas_finite();
        let [epsilon, velocity, sample] = Prediction::ALL;
        let choices = [epsilon, velocity, sample, ("original_sample", Prediction::Sample)];
        let prediction = fields.choice("prediction_type", "epsilon", &choices)?;
        let continuous = continuous(fields)? && prediction == Prediction::Velocity;
        let spacing = Spacing::read(fields, "linspace")?;
        let (timesteps, sigmas) = match &run.sigmas {
            Some(given) => given_levels(fields, &training, given)?,
            None => levels(fields, &training, run, continuous)?,
        };
        let timesteps = if continuous {
            sigmas[..sigmas.len() - 1].iter().map(|sigma| 0.25 * sigma.ln()).collect()
        } else {
            timesteps.iter().map(|timestep| *timestep as f32).collect()
        };
        Ok(Self {
            timesteps,
            init_noise_sigma: init_noise_sigma(&sigmas, spacing),
            sigmas,
            prediction,
        })
    }
}

impl Scheduler for Euler {
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

    fn step(&mut self, step: usize, model_output: &[f32], sample: &mut [f32], _: Option<&[f32]>) {
        let (sigma, next) = (self.sigmas[step], self.sigmas[step + 1]);
        descend(self.prediction, sigma, next - sigma, model_output, sample);
    }
}

/// Follows the ODE's slope at noise level `sigma` over `change` (negative: towards less noise).
pub(super) fn descend(
    prediction: Prediction,
    sigma: f32,
    change: f32,
    model_output: &[f32],
    sample: &mut [f32],
) {
    for (x, output) in sample.iter_mut().zip(model_output) {
        let slope = (*x - prediction.denoised(sigma, *output, *x)) / sigma;
        *x += slope * change;
    }
}

/// A given list's levels, the last one where the run ends, and the timesteps of the others.
fn given_levels(
    fields: &Fields<'_>,
    training: &Training,
    given: &[f64],
) -> Result<(Vec<f64>, Vec<f32>), Error> {
    let sigmas: Vec<f32> = given.iter().map(|sigma| *sigma as f32).collect();
    let Some((_, steps)) = sigmas.split_last().filter(|(_, steps)| !steps.is_empty()) else {
        let reason = "the list's last level is where the run ends; give two or more";
        return Err(fields.rejected("sigmas", "a list of 1", reason));
    };
    let logs = logarithms(&training.sigmas());
    let timestep = |sigma: &f32| sigma_to_timestep(f64::from(*sigma), &logs);
    Ok((steps.iter().map(timestep).collect(), sigmas))
}

/// The run's timesteps, and its levels with the one that it ends at.
fn levels(
    fields: &Fields<'_>,
    training: &Training,
    run: &Run,
    continuous: bool,
) -> Result<(Vec<f64>, Vec<f32>), Error> {
    if continuous && run.timesteps.is_some() {
        let reason = "with continuous timesteps a velocity model is asked at levels; give sigmas";
        return Err(fields.rejected("timesteps", "a list", reason));
    }
    let choices = [("linear", false), ("log_linear", true)];
    let log_linear = fields.choice("interpolation_type", "linear", &choices)?;
    let mut schedule = KSchedule::read(fields, training, run, &Habits::default())?;
    let table = training.sigmas();
    let end = final_sigma(fields, table[0])?;
    if !log_linear {
        let sigmas = schedule.levels_to(end);
        return Ok((schedule.timesteps, sigmas));
    }
    // even in ln σ over the whole schedule, with one level more than there are steps
    let steps = schedule.timesteps.len();
    let (max, min) = (schedule.logs[table.len() - 1], schedule.logs[0]);
    let logs = betas::linspace(f64::from(max), f64::from(min), steps + 1);
    let even: Vec<f32> = logs.iter().map(|log| log.exp()).collect();
    let Some(curve) = Curve::read(fields)? else {
        return Ok((schedule.timesteps, even.into_iter().chain([end]).collect()));
    };
    schedule.sigmas = even.iter().map(|sigma| f64::from(*sigma)).collect();
    schedule.follow(fields, curve, &Habits::default())?;
    let sigmas = schedule.levels_to(end);
    Ok((schedule.timesteps, sigmas))
}

/// The level that the run ends at.
fn final_sigma(fields: &Fields<'_>, least: f32) -> Result<f32, Error> {
    let choices = [("zero", 0.0), ("sigma_min", least)];
    fields.choice("final_sigmas_type", "zero", &choices)
}

fn continuous(fields: &Fields<'_>) -> Result<bool, Error> {
    fields.choice("timestep_type", "discrete", &[("discrete", false), ("continuous", true)])
}
