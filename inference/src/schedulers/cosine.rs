//! Stable Audio's sampler: DPM-Solver++ for the SDE in its multistep form, over levels whose
//! timestep is an angle, with noise from one Brownian motion (Evans et al. 2024, "Stable Audio
//! Open").

use super::dpm_update::{Algorithm, Solver};
use super::edm::{Ends, Preconditioning};
use super::error::Error;
use super::fields::Fields;
use super::level::{Form, Level};
use super::multistep::{Multistep, Orders};
use super::names::About;
use super::{Run, Scheduler, mix};
use crate::noise::{Draw, Stretch};

pub(super) const ABOUT: About = About {
    name: "CosineDPMSolverMultistepScheduler",
    keys: &[
        "sigma_min",
        "sigma_max",
        "sigma_data",
        "sigma_schedule",
        "num_train_timesteps",
        "solver_order",
        "prediction_type",
        "rho",
        "solver_type",
        "lower_order_final",
        "euler_at_final",
        "final_sigmas_type",
    ],
    takes: &[],
};

pub(super) struct Cosine {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    preconditioning: Preconditioning,
    rule: Multistep,
    init_noise_sigma: f32,
    /// Where the Brownian motion runs.
    range: (f32, f32),
}

impl Cosine {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        Ends::check_steps(fields, run.steps)?;
        let ends = Ends::read(fields, 0.3, 500.0, "exponential")?;
        let mut sigmas = ends.levels(run.steps);
        let finals = [("zero", 0.0), ("sigma_min", ends.min as f32)];
        let last = fields.choice("final_sigmas_type", "zero", &finals)?;
        if last > 0.0 {
            let reason = "the last step would go nowhere, and its noise be zero over zero";
            return Err(fields.rejected("final_sigmas_type", "sigma_min", reason));
        }
        sigmas.push(last);
        let orders = Orders::read(fields, last == 0.0)?;
        if orders.most > 2 {
            let reason = "the class has no third order; take 1 or 2";
            return Err(fields.rejected("solver_order", orders.most, reason));
        }
        let levels = Level::all(Form::Exploding, &sigmas);
        let rule =
            Multistep::new(fields, levels, Algorithm::CleanSde, Solver::read(fields)?, orders)?;
        let angle = |sigma: &f32| sigma.atan() / std::f32::consts::PI * 2.0;
        Ok(Self {
            timesteps: sigmas[..run.steps].iter().map(angle).collect(),
            sigmas,
            preconditioning: Preconditioning::read(fields, 1.0, "v_prediction")?,
            rule,
            init_noise_sigma: ends.init_noise_sigma(),
            range: (ends.min as f32, ends.max as f32),
        })
    }
}

impl Scheduler for Cosine {
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

    fn step_noise(&self, step: usize) -> Option<Draw> {
        let (least, most) = self.range;
        let (from, to) = (self.sigmas[step], self.sigmas[step + 1]);
        Some(Draw::Brownian(Stretch { least, most, from, to, seed: None }))
    }

    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]) {
        self.preconditioning.scale_input(self.sigmas[step], sample, scaled);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let newest = self.rule.newest(sample.len());
        self.preconditioning.denoise(self.sigmas[step], sample, model_output, newest);
        self.rule.advance(step, sample, noise);
    }
}
