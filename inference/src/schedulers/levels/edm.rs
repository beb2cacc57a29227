//! The noise levels of EDM's classes (Karras et al. 2022): between two ends, along a curve.

use super::linspace::linspace_f32;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::run::Run;

/// The curve between the ends of a schedule.
pub(crate) struct EdmLevels {
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rho: f64,
    pub(crate) karras: bool,
}

impl EdmLevels {
    /// Reads the ends and the kind of the schedule, with the class's defaults, and checks the run.
    pub(crate) fn read(
        fields: &Fields<'_>,
        run: &Run,
        [min, max]: [f64; 2],
        schedule: &str,
    ) -> Result<Self, Error> {
        run.check_steps(fields.train_timesteps(1)?)?;
        let kinds = [("karras", true), ("exponential", false)];
        let levels = Self {
            min: fields.positive("sigma_min", min)?,
            max: fields.positive("sigma_max", max)?,
            rho: fields.positive("rho", 7.0)?,
            karras: fields.choice("sigma_schedule", schedule, &kinds)?,
        };
        if levels.min < levels.max {
            return Ok(levels);
        }
        Err(Error::invalid("sigma_min", levels.min, "a number below sigma_max"))
    }

    /// `steps` levels in single precision, from the greatest to the least.
    pub(crate) fn levels(&self, steps: usize) -> Vec<f32> {
        if !self.karras {
            return self.exponential(steps);
        }
        let root = |end: f64| end.powf(1.0 / self.rho);
        let (max, span) = (root(self.max) as f32, (root(self.min) - root(self.max)) as f32);
        let level = |ramp: &f32| (max + ramp * span).powf(self.rho as f32);
        linspace_f32(0.0, 1.0, steps).iter().map(level).collect()
    }

    /// Even in ln σ.
    pub(crate) fn exponential(&self, steps: usize) -> Vec<f32> {
        let logs = linspace_f32(self.min.ln(), self.max.ln(), steps);
        logs.iter().rev().map(|log| log.exp()).collect()
    }

    /// The deviation of the initial noise.
    pub(crate) fn init_noise_sigma(&self) -> f32 {
        (self.max * self.max + 1.0).sqrt() as f32
    }

    /// What the network is told of each level but the last: ln(σ) / 4.
    pub(crate) fn timesteps(sigmas: &[f32]) -> Vec<f32> {
        let steps = &sigmas[..sigmas.len().saturating_sub(1)];
        steps.iter().map(|sigma| 0.25 * sigma.ln()).collect()
    }
}
