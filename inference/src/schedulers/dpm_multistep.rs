//! DPM-Solver and DPM-Solver++ in their multistep form, orders 1 to 3, and their SDE variants (Lu
//! et al. 2022, arXiv 2206.00927 and 2211.01095).

use super::betas::{Defaults, Training};
use super::conversion::{Conversion, Target};
use super::dpm_update::{Algorithm, Solver};
use super::error::Error;
use super::fields::Fields;
use super::level::Level;
use super::multistep::{Multistep, Orders};
use super::names::About;
use super::prediction::Prediction;
use super::solver_schedule::{Family, SolverSchedule, check_mu};
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About {
    name: "DPMSolverMultistepScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "solver_order",
        "prediction_type",
        "thresholding",
        "dynamic_thresholding_ratio",
        "sample_max_value",
        "algorithm_type",
        "solver_type",
        "lower_order_final",
        "euler_at_final",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_lu_lambdas",
        "use_flow_sigmas",
        "flow_shift",
        "final_sigmas_type",
        "lambda_min_clipped",
        "variance_type",
        "timestep_spacing",
        "steps_offset",
        "rescale_betas_zero_snr",
        "use_dynamic_shifting",
        "time_shift_type",
    ],
    takes: &["timesteps", "mu"],
};

pub(super) struct DpmMultistep {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    conversion: Conversion,
    rule: Multistep,
    stochastic: bool,
    learned_variance: bool,
}

impl DpmMultistep {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?.keep_sigmas_finite();
        check_mu(Family::Multistep, fields, run)?;
        let algorithm = fields.choice("algorithm_type", "dpmsolver++", &Algorithm::ALL)?;
        let schedule = SolverSchedule::read(Family::Multistep, fields, &training, run)?;
        let ends_at_zero = ends_at_zero(fields, algorithm)?;
        let levels = Level::all(schedule.form, &schedule.sigmas);
        let orders = Orders::read(fields, ends_at_zero)?;
        let rule = Multistep::new(fields, levels, algorithm, Solver::read(fields)?, orders)?;
        Ok(Self {
            timesteps: schedule.timesteps,
            sigmas: schedule.sigmas,
            conversion: Conversion::read(fields, target(algorithm))?,
            rule,
            stochastic: algorithm.is_stochastic(),
            learned_variance: learns_variance(fields)?,
        })
    }
}

impl Scheduler for DpmMultistep {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn is_flow(&self) -> bool {
        self.conversion.is_flow()
    }

    fn takes_variance(&self) -> bool {
        self.learned_variance
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Level { alpha, sigma, .. } = *self.rule.level(step);
        mix(alpha, original, sigma, noise, noisy);
    }

    fn step_noise(&self, _step: usize) -> Option<Draw> {
        self.stochastic.then_some(Draw::Normal)
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let level = *self.rule.level(step);
        let newest = self.rule.newest(sample.len());
        self.conversion.convert(&level, model_output, sample, newest);
        self.rule.advance(step, sample, noise);
    }
}

pub(super) fn target(algorithm: Algorithm) -> Target {
    if algorithm.steps_with_noise() { Target::Noise } else { Target::Clean }
}

/// Whether the run ends at σ = 0, which rules that step with the noise can't reach.
pub(super) fn ends_at_zero(fields: &Fields<'_>, algorithm: Algorithm) -> Result<bool, Error> {
    let choices = [("zero", true), ("sigma_min", false)];
    let zero = fields.choice("final_sigmas_type", "zero", &choices)?;
    // diffusers looks at the name, before it takes dpmsolver++ for another class's
    let foreign = fields.given("algorithm_type").is_some_and(|name| name == "deis");
    if zero && (algorithm.steps_with_noise() || foreign) {
        let reason = "only dpmsolver++ and sde-dpmsolver++ can end at zero; take sigma_min, or \
                      one of these";
        return Err(fields.rejected("final_sigmas_type", "zero", reason));
    }
    Ok(zero)
}

/// Reads `variance_type`: whether the model predicts a variance, which these rules leave out.
pub(super) fn learns_variance(fields: &Fields<'_>) -> Result<bool, Error> {
    if fields.given("variance_type").is_none() {
        return Ok(false);
    }
    let choices = [
        ("learned", true),
        ("learned_range", true),
        ("fixed_small", false),
        ("fixed_small_log", false),
        ("fixed_large", false),
        ("fixed_large_log", false),
    ];
    let learned = fields.choice("variance_type", "fixed_small", &choices)?;
    let prediction = fields.choice("prediction_type", "epsilon", &Prediction::WITH_FLOW)?;
    if learned && prediction != Prediction::Epsilon {
        let reason = "the rule drops the variance of models that predict epsilon only";
        return Err(fields.rejected("variance_type", "learned", reason));
    }
    Ok(learned)
}
