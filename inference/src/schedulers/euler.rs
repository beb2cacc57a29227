//! Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 1 in its
//! deterministic form).
//!
//! Leaves out the churn of algorithm 2, which diffusers' pipelines never switch on.

use super::betas::{self, Training};
use super::error::Error;
use super::fields::Fields;
use super::prediction::Prediction;
use super::sigmas::{Curve, Spacing, interpolate, logarithms, sigma_to_timestep};
use super::{Run, Scheduler, mix};

pub(super) const KEYS: &[&str] = &[
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
];

pub(super) struct Euler {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    prediction: Prediction,
    init_noise_sigma: f32,
}

impl Euler {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields)?.keep_sigmas_finite();
        training.check_steps(run.steps)?;
        let [epsilon, velocity, sample] = Prediction::ALL;
        let choices = [epsilon, velocity, sample, ("original_sample", Prediction::Sample)];
        let prediction = fields.choice("prediction_type", "epsilon", &choices)?;
        let offset = fields.integer("steps_offset", 0, 0..=training.len())?;
        let spacing = Spacing::read(fields, "linspace")?;
        let table = training.sigmas();

        // through single precision, as diffusers has them before the interpolation
        let mut timesteps = spacing.timesteps(training.len(), run.steps, offset);
        timesteps.iter_mut().for_each(|timestep| *timestep = f64::from(*timestep as f32));
        let mut sigmas = levels(fields, &table, &timesteps)?;
        if let Some(curve) = Curve::read(fields)? {
            let (min, max) = range(fields, &sigmas)?;
            sigmas = curve.levels(min, max, run.steps);
            let logs = logarithms(&table);
            timesteps = sigmas.iter().map(|sigma| sigma_to_timestep(*sigma, &logs)).collect();
        }
        let mut sigmas: Vec<f32> = sigmas.iter().map(|sigma| *sigma as f32).collect();
        if sigmas.len() == timesteps.len() {
            sigmas.push(final_sigma(fields, table[0])?);
        }
        let timesteps = if continuous(fields)? && prediction == Prediction::Velocity {
            sigmas[..timesteps.len()].iter().map(|sigma| 0.25 * sigma.ln()).collect()
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

/// Divides by √(σ² + 1), so that the model sees the variance it was trained on.
pub(super) fn scale_to_unit_variance(sigma: f32, sample: &[f32], scaled: &mut [f32]) {
    let deviation = (sigma * sigma + 1.0).sqrt();
    for (scaled, x) in scaled.iter_mut().zip(sample) {
        *scaled = x / deviation;
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

/// The deviation of the initial noise; `Leading` starts below the noisiest level and adds the
/// unit variance of the data.
pub(super) fn init_noise_sigma(sigmas: &[f32], spacing: Spacing) -> f32 {
    let max = sigmas.iter().copied().fold(0.0, f32::max);
    match spacing {
        Spacing::Linspace | Spacing::Trailing => max,
        Spacing::Leading => (max * max + 1.0).sqrt(),
    }
}

/// The levels at `timesteps`, or with `log_linear` one more, even in log σ over the whole table.
fn levels(fields: &Fields<'_>, table: &[f32], timesteps: &[f64]) -> Result<Vec<f64>, Error> {
    let choices = [("linear", false), ("log_linear", true)];
    if !fields.choice("interpolation_type", "linear", &choices)? {
        return Ok(timesteps.iter().map(|timestep| interpolate(table, *timestep)).collect());
    }
    let logs = logarithms(table);
    let (max, min) = (f64::from(logs[logs.len() - 1]), f64::from(logs[0]));
    let levels = betas::linspace(max, min, timesteps.len() + 1);
    Ok(levels.iter().map(|log| f64::from(log.exp())).collect())
}

/// The least and greatest level of a curve.
fn range(fields: &Fields<'_>, sigmas: &[f64]) -> Result<(f64, f64), Error> {
    let end = |key, default: f64| match fields.optional_number(key)? {
        None => Ok(default),
        Some(sigma) if sigma > 0.0 && sigma.is_finite() => Ok(sigma),
        Some(sigma) => Err(Error::invalid(key, sigma, "a number above 0, or null")),
    };
    Ok((end("sigma_min", sigmas[sigmas.len() - 1])?, end("sigma_max", sigmas[0])?))
}

/// The level that the run ends at.
pub(super) fn final_sigma(fields: &Fields<'_>, least: f32) -> Result<f32, Error> {
    let choices = [("zero", 0.0), ("sigma_min", least)];
    fields.choice("final_sigmas_type", "zero", &choices)
}

fn continuous(fields: &Fields<'_>) -> Result<bool, Error> {
    fields.choice("timestep_type", "discrete", &[("discrete", false), ("continuous", true)])
}
