//! DPM2: the midpoint method between noise levels, in ln σ (Karras et al. 2022, algorithm 2 as
//! Katherine Crowson wrote it). Two calls a step, but for the last.

use super::betas::{Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::k_schedule::{Habits, KSchedule, init_noise_sigma, scale_to_unit_variance, twice};
use super::multistep::not_finite;
use super::names::About;
use super::prediction::Prediction;
use super::sigmas::sigma_to_timestep;
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About { name: "KDPM2DiscreteScheduler", keys: KEYS, takes: &[] };

/// The keys of both classes of this kind.
pub(super) const KEYS: &[&str] = &[
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "prediction_type",
    "timestep_spacing",
    "steps_offset",
];

pub(super) struct Kdpm2 {
    levels: Midpoints,
    prediction: Prediction,
    /// Where the step began.
    start: Vec<f32>,
}

/// Noise levels with a middle one in each step, and their timesteps.
pub(super) struct Midpoints {
    pub(super) timesteps: Vec<f32>,
    /// The levels of the steps, and 0.
    pub(super) steps: Vec<f32>,
    /// The level in each step's middle.
    pub(super) middles: Vec<f32>,
    /// The level of each call as the others see it, and the one that the run ends at.
    pub(super) calls: Vec<f32>,
    pub(super) init_noise_sigma: f32,
}

impl Midpoints {
    /// Lays out the run; `middle` of a step's level and the next one's lies between them.
    pub(super) fn read(
        fields: &Fields<'_>,
        run: &Run,
        middle: fn(f32, f32) -> f32,
    ) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::NARROW)?;
        let habits = Habits { whole_karras: true, ..Habits::default() };
        let schedule = KSchedule::read(fields, &training, run, &habits)?;
        let steps = schedule.levels_to(0.0);
        let middles: Vec<f32> = steps.windows(2).map(|pair| middle(pair[0], pair[1])).collect();
        let last = schedule.timesteps.len() - 1;
        if let Some(step) = middles[..last].iter().position(|middle| *middle <= 0.0) {
            return Err(not_finite(fields, step));
        }
        let between = |sigma: &f32| sigma_to_timestep(f64::from(*sigma), &schedule.logs);
        let whole = schedule.timesteps.iter().copied();
        let mixed = whole.zip(&middles).flat_map(|(whole, middle)| [whole, between(middle)]);
        let calls = twice(&steps, false);
        Ok(Self {
            timesteps: mixed.take(2 * last + 1).map(|timestep| timestep as f32).collect(),
            init_noise_sigma: init_noise_sigma(&steps, schedule.spacing),
            steps,
            middles,
            calls,
        })
    }

    /// The level that the model is asked at in call `call`.
    pub(super) fn at(&self, call: usize) -> f32 {
        if call.is_multiple_of(2) { self.steps[call / 2] } else { self.middles[call / 2] }
    }
}

impl Kdpm2 {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        Ok(Self {
            levels: Midpoints::read(fields, run, geometric_mean)?,
            prediction: Prediction::read_noise_or_velocity(fields)?,
            start: Vec::new(),
        })
    }
}

impl Scheduler for Kdpm2 {
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

    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]) {
        scale_to_unit_variance(self.levels.at(step), sample, scaled);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        _noise: Option<&[f32]>,
    ) {
        let (first, number) = (step.is_multiple_of(2), step / 2);
        let begun = self.levels.steps[number];
        let to = if first { self.levels.middles[number] } else { self.levels.steps[number + 1] };
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
    }
}

/// Moves by `change` along the slope at level `at`: from here, or from where the step began.
pub(super) fn midpoint_call(
    prediction: Prediction,
    at: f32,
    change: f32,
    start: &mut Vec<f32>,
    first: bool,
    model_output: &[f32],
    sample: &mut [f32],
) {
    if first {
        start.clear();
        start.extend_from_slice(sample);
    }
    for ((x, output), start) in sample.iter_mut().zip(model_output).zip(start.iter()) {
        let slope = (*x - prediction.denoised(at, *output, *x)) / at;
        *x = start + slope * change;
    }
}

/// √(from · to), by way of logarithms; 0 where `to` is.
pub(super) fn geometric_mean(from: f32, to: f32) -> f32 {
    let (from, to) = (from.ln(), to.ln());
    (from - (from - to) * 0.5).exp()
}
