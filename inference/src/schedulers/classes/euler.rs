//! Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 1 in its
//! deterministic form).
//!
//! Leaves out the churn of algorithm 2, which diffusers' pipelines never switch on.

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{
    Curve, Defaults, EdmLevels, Habits, KLevels, Spacing, Training, k_schedule, linspace_f32,
    logarithms, read_final_sigma, sigma_to_timestep,
};
use crate::schedulers::rules::{Memory, Prediction, Rule, Step, descend};
use crate::schedulers::run::Run;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "EulerDiscreteScheduler",
        keys: &[
            keys::TRAINING,
            &["prediction_type", "interpolation_type"],
            keys::CURVES,
            &["sigma_min", "sigma_max", "timestep_spacing", "timestep_type", "steps_offset"],
            &["rescale_betas_zero_snr", "final_sigmas_type"],
        ],
        takes: &["timesteps", "sigmas"],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct Euler {
    prediction: Prediction,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::PLAIN)?.keep_sigmas_finite();
    let [epsilon, velocity, sample] = Prediction::ALL;
    let choices = [epsilon, velocity, sample, ("original_sample", Prediction::Sample)];
    let prediction = fields.choice("prediction_type", "epsilon", &choices)?;
    let kinds = [("discrete", false), ("continuous", true)];
    let continuous =
        fields.choice("timestep_type", "discrete", &kinds)? && prediction == Prediction::Velocity;
    let spacing = Spacing::read(fields, "linspace")?;
    let (timesteps, sigmas) = match &run.sigmas {
        Some(given) => given_levels(fields, &training, given)?,
        None => levels(fields, &training, run, continuous)?,
    };
    let timesteps = if continuous {
        EdmLevels::timesteps(&sigmas)
    } else {
        timesteps.iter().map(|timestep| *timestep as f32).collect()
    };
    Ok((k_schedule(timesteps, sigmas, spacing), Box::new(Euler { prediction })))
}

impl Rule for Euler {
    fn step(&self, mut step: Step<'_>, _: &mut Memory) {
        let (sigma, next) = step.sigmas();
        descend(self.prediction, sigma, next - sigma, &mut step);
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
    let mut schedule = KLevels::read(fields, training, run, &Habits::default())?;
    let table = training.sigmas();
    let end = read_final_sigma(fields, table[0])?;
    if !log_linear {
        let sigmas = schedule.levels_to(end);
        return Ok((schedule.timesteps, sigmas));
    }
    // even in ln σ over the whole schedule, with one level more than there are steps
    let steps = schedule.timesteps.len();
    let (max, min) = (schedule.logs[table.len() - 1], schedule.logs[0]);
    let logs = linspace_f32(f64::from(max), f64::from(min), steps + 1);
    let even: Vec<f32> = logs.iter().map(|log| log.exp()).collect();
    let Some(curve) = Curve::read(fields)? else {
        return Ok((schedule.timesteps, even.into_iter().chain([end]).collect()));
    };
    schedule.sigmas = even.iter().map(|sigma| f64::from(*sigma)).collect();
    schedule.follow(fields, curve, &Habits::default())?;
    let sigmas = schedule.levels_to(end);
    Ok((schedule.timesteps, sigmas))
}
