//! DPM-Solver++ in its multistep form with EDM's preconditioning and levels.

use super::dpm_multistep::ends_at_zero;
use super::dpm_update::{Algorithm, Solver};
use super::edm::{Ends, Preconditioning};
use super::error::Error;
use super::fields::Fields;
use super::level::{Form, Level};
use super::multistep::{Multistep, Orders};
use super::names::About;
use super::threshold::Limit;
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About {
    name: "EDMDPMSolverMultistepScheduler",
    keys: &[
        "sigma_min",
        "sigma_max",
        "sigma_data",
        "sigma_schedule",
        "num_train_timesteps",
        "prediction_type",
        "rho",
        "solver_order",
        "thresholding",
        "dynamic_thresholding_ratio",
        "sample_max_value",
        "algorithm_type",
        "solver_type",
        "lower_order_final",
        "euler_at_final",
        "final_sigmas_type",
    ],
    takes: &[],
};

pub(super) struct EdmMultistep {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    preconditioning: Preconditioning,
    limit: Limit,
    rule: Multistep,
    stochastic: bool,
    init_noise_sigma: f32,
}

impl EdmMultistep {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        Ends::check_steps(fields, run.steps)?;
        let ends = Ends::read(fields, 0.002, 80.0, "karras")?;
        let algorithm = fields.choice("algorithm_type", "dpmsolver++", &Algorithm::ALL[..3])?;
        let mut sigmas = ends.levels(run.steps);
        let finals = [("zero", 0.0), ("sigma_min", ends.min as f32)];
        let last = fields.choice("final_sigmas_type", "zero", &finals)?;
        ends_at_zero(fields, algorithm)?;
        sigmas.push(last);
        let orders = Orders::read(fields, last == 0.0)?;
        if orders.most == 3 && algorithm == Algorithm::CleanSde {
            let reason = "sde-dpmsolver++ has no third order here; take 2";
            return Err(fields.rejected("solver_order", 3, reason));
        }
        let levels = Level::all(Form::Exploding, &sigmas);
        let rule = Multistep::new(fields, levels, algorithm, Solver::read(fields)?, orders)?;
        Ok(Self {
            timesteps: sigmas[..run.steps].iter().map(|sigma| 0.25 * sigma.ln()).collect(),
            sigmas,
            preconditioning: Preconditioning::read(fields, 0.5, "epsilon")?,
            limit: Limit::read_thresholding(fields)?,
            rule,
            stochastic: algorithm.is_stochastic(),
            init_noise_sigma: ends.init_noise_sigma(),
        })
    }
}

impl Scheduler for EdmMultistep {
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

    fn step_noise(&self, _step: usize) -> Option<Draw> {
        self.stochastic.then_some(Draw::Normal)
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
        self.limit.apply(newest);
        self.rule.advance(step, sample, noise);
    }
}
