//! The timesteps that consistency-distilled models were distilled on: LCM's and TCD's.

use super::spacing::given_timesteps;
use super::training::Training;
use crate::noise::Draw;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys::{self, Keys};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

/// The keys of both classes, which differ in their rule alone.
pub(crate) const DISTILLED_KEYS: Keys = &[
    keys::TRAINING,
    &["original_inference_steps", "clip_sample", "clip_sample_range", "set_alpha_to_one"],
    &["steps_offset", "prediction_type"],
    keys::THRESHOLDING,
    &["timestep_spacing", "timestep_scaling", "rescale_betas_zero_snr"],
];
/// What their `set_timesteps` takes.
pub(crate) const DISTILLED_TAKES: &[&str] = &["timesteps", "original_inference_steps", "strength"];

/// Timesteps out of the schedule that a model was distilled on.
pub(crate) struct Distillation {
    pub(crate) timesteps: Vec<usize>,
    /// How many steps the whole run has, before strength cuts a given list.
    pub(crate) steps: usize,
}

impl Distillation {
    /// Reads the schedule; `dense`: given `original_inference_steps` mean every timestep, as in
    /// TCD.
    pub(crate) fn read(
        fields: &Fields<'_>,
        training: &Training,
        run: &Run,
        dense: bool,
    ) -> Result<Self, Error> {
        let train = training.len();
        let original = match run.original_inference_steps {
            Some(given) => given,
            None => fields.integer("original_inference_steps", 50, 1..=train)?,
        };
        let dense = dense && run.original_inference_steps.is_some();
        if original == 0 || original > train && !dense {
            let expected = format!("a whole number from 1 to {train}, num_train_timesteps");
            return Err(Error::invalid("original_inference_steps", original, expected));
        }
        if let Some(given) = &run.timesteps {
            let mut timesteps = given_timesteps(given, train)?;
            let steps = timesteps.len();
            let taken = (steps as f64 * run.strength) as usize;
            timesteps.drain(..steps - taken);
            if timesteps.is_empty() {
                return Err(too_weak(run));
            }
            return Ok(Self { timesteps, steps });
        }
        let distilled: Vec<usize> = if dense {
            (0..(train as f64 * run.strength) as usize).rev().collect()
        } else {
            let count = (original as f64 * run.strength) as usize;
            (1..=count).rev().map(|step| step * (train / original) - 1).collect()
        };
        let steps = run.steps;
        if !(1..=original.min(distilled.len())).contains(&steps) {
            let expected = format!(
                "a whole number from 1 to {}: original_inference_steps times strength",
                original.min(distilled.len())
            );
            return Err(Error::invalid("num_inference_steps", steps, expected));
        }
        // even over the schedule, without its end
        let spread = distilled.len() as f64 / steps as f64;
        let place = |index: usize| ((index as f64 * spread) as usize).min(distilled.len() - 1);
        Ok(Self { timesteps: (0..steps).map(|index| distilled[place(index)]).collect(), steps })
    }
}

impl Distillation {
    /// The run's schedule. Where it draws noise, all calls do but the whole run's last: in a given
    /// list cut by strength, all.
    pub(crate) fn schedule(&self, alphas_cumprod: &[f32], draws: bool) -> Schedule {
        let noiseless = self.steps - 1;
        Schedule::preserving(&self.timesteps, alphas_cumprod)
            .drawing(|call| (draws && call != noiseless).then_some(Draw::Normal))
    }
}

fn too_weak(run: &Run) -> Error {
    Error::invalid("strength", run.strength, "a number that leaves a step of the list")
}
