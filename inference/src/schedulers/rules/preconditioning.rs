//! EDM's preconditioning (Karras et al. 2022, table 1): what the network is given, and how its
//! output becomes the clean sample, for data of deviation σ_data.

use super::limit::Limit;
use super::memory::Memory;
use super::multistep::Multistep;
use super::prediction::Prediction;
use super::rule::{Rule, Step};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::EdmLevels;
use crate::schedulers::schedule::{InputScale, Schedule};

/// The network's preconditioning.
#[derive(Debug)]
pub(crate) struct Preconditioning {
    data: f32,
    data_squared: f32,
    sign: f32,
}

impl Preconditioning {
    /// Reads `sigma_data` and `prediction_type`, with the class's defaults.
    pub(crate) fn read(fields: &Fields<'_>, data: f64, prediction: &str) -> Result<Self, Error> {
        let data = fields.positive("sigma_data", data)?;
        let sign = match fields.choice("prediction_type", prediction, &Prediction::ALL)? {
            Prediction::Velocity => -1.0,
            Prediction::Sample => {
                let reason = "its preconditioning is for epsilon and v_prediction";
                return Err(fields.rejected("prediction_type", "sample", reason));
            }
            Prediction::Epsilon | Prediction::Flow => 1.0,
        };
        Ok(Self { data: data as f32, data_squared: (data * data) as f32, sign })
    }

    /// The schedule over x = x₀ + σ·ε, and what the network is given.
    pub(crate) fn schedule(
        &self,
        levels: &EdmLevels,
        timesteps: Vec<f32>,
        sigmas: Vec<f32>,
    ) -> Schedule {
        Schedule {
            init_noise_sigma: levels.init_noise_sigma(),
            input: self.input(&sigmas),
            ..Schedule::exploding(timesteps, sigmas)
        }
    }

    /// c_in at each level.
    fn input(&self, sigmas: &[f32]) -> InputScale {
        let factor = |sigma: &f32| 1.0 / (sigma * sigma + self.data_squared).sqrt();
        InputScale::MultipliedBy(sigmas.iter().map(factor).collect())
    }

    /// Writes the clean sample: c_skip·x + c_out·output.
    fn denoise(&self, sigma: f32, sample: &[f32], output: &[f32], clean: &mut [f32]) {
        let (skip, out) = self.output_factors(sigma);
        for ((clean, x), output) in clean.iter_mut().zip(sample).zip(output) {
            *clean = skip * x + out * output;
        }
    }

    /// c_skip and c_out.
    pub(crate) fn output_factors(&self, sigma: f32) -> (f32, f32) {
        let variance = sigma * sigma + self.data_squared;
        (self.data_squared / variance, self.sign * sigma * self.data / variance.sqrt())
    }
}

/// DPM-Solver's multistep rule over the clean samples that the network's output becomes.
#[derive(Debug)]
pub(crate) struct EdmMultistep {
    pub(crate) preconditioning: Preconditioning,
    pub(crate) limit: Limit,
    pub(crate) multistep: Multistep,
}

impl Rule for EdmMultistep {
    fn step(&self, step: Step<'_>, memory: &mut Memory) {
        let Memory { state, scratch } = memory;
        let (sigma, _) = step.sigmas();
        let newest = state.remember(self.multistep.orders.most, step.sample.len());
        self.preconditioning.denoise(sigma, step.sample, step.output, newest);
        self.limit.apply(newest, &mut scratch.magnitudes);
        self.multistep.advance(step, state);
    }
}
