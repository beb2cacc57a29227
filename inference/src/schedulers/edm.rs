//! What the classes of EDM's kind share (Karras et al. 2022, table 1): levels between two ends, and
//! the preconditioning that turns the network's output into the clean sample.

use super::betas::linspace;
use super::error::Error;
use super::fields::Fields;
use super::prediction::Prediction;

/// Config keys that all classes of the kind have.
pub(super) struct Ends {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) rho: f64,
    pub(super) karras: bool,
}

impl Ends {
    /// Reads the ends and the kind of the schedule, with the class's defaults.
    pub(super) fn read(
        fields: &Fields<'_>,
        min: f64,
        max: f64,
        schedule: &str,
    ) -> Result<Self, Error> {
        let ends = Self {
            min: fields.positive("sigma_min", min)?,
            max: fields.positive("sigma_max", max)?,
            rho: fields.positive("rho", 7.0)?,
            karras: fields.choice(
                "sigma_schedule",
                schedule,
                &[("karras", true), ("exponential", false)],
            )?,
        };
        if ends.min < ends.max {
            return Ok(ends);
        }
        Err(Error::invalid("sigma_min", ends.min, "a number below sigma_max"))
    }

    /// `steps` levels in single precision, from the greatest to the least.
    pub(super) fn levels(&self, steps: usize) -> Vec<f32> {
        if !self.karras {
            return self.exponential(steps);
        }
        let root = |end: f64| end.powf(1.0 / self.rho);
        let (max, span) = (root(self.max) as f32, (root(self.min) - root(self.max)) as f32);
        let level = |ramp: &f32| (max + ramp * span).powf(self.rho as f32);
        linspace(0.0, 1.0, steps).iter().map(level).collect()
    }

    /// Even in ln σ.
    pub(super) fn exponential(&self, steps: usize) -> Vec<f32> {
        let logs = linspace(self.min.ln(), self.max.ln(), steps);
        logs.iter().rev().map(|log| log.exp()).collect()
    }

    /// The deviation of the initial noise.
    pub(super) fn init_noise_sigma(&self) -> f32 {
        (self.max * self.max + 1.0).sqrt() as f32
    }

    /// Checks the number of steps, which these schedules don't bound themselves.
    pub(super) fn check_steps(fields: &Fields<'_>, steps: usize) -> Result<(), Error> {
        let train = fields.integer("num_train_timesteps", 1000, 1..=100_000)?;
        if (1..=train).contains(&steps) {
            return Ok(());
        }
        let expected = format!("a whole number from 1 to {train}, num_train_timesteps");
        Err(Error::invalid("num_inference_steps", steps, expected))
    }
}

/// The network's preconditioning for data of deviation σ_data.
pub(super) struct Preconditioning {
    data: f32,
    data_squared: f32,
    sign: f32,
}

impl Preconditioning {
    /// Reads `sigma_data` and `prediction_type`, with the class's defaults.
    pub(super) fn read(fields: &Fields<'_>, data: f64, prediction: &str) -> Result<Self, Error> {
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

    /// c_in·x.
    pub(super) fn scale_input(&self, sigma: f32, sample: &[f32], scaled: &mut [f32]) {
        let factor = 1.0 / (sigma * sigma + self.data_squared).sqrt();
        scaled.iter_mut().zip(sample).for_each(|(scaled, x)| *scaled = x * factor);
    }

    /// The clean sample: c_skip·x + c_out·output.
    pub(super) fn denoise(&self, sigma: f32, sample: &[f32], output: &[f32], clean: &mut [f32]) {
        let (skip, out) = self.output_factors(sigma);
        for ((clean, x), output) in clean.iter_mut().zip(sample).zip(output) {
            *clean = skip * x + out * output;
        }
    }

    /// The clean sample as c_skip·x + c_out·output: both factors.
    pub(super) fn output_factors(&self, sigma: f32) -> (f32, f32) {
        let variance = sigma * sigma + self.data_squared;
        (self.data_squared / variance, self.sign * sigma * self.data / variance.sqrt())
    }
}
