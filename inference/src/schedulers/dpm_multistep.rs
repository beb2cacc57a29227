//! DPM-Solver++ in its multistep form, orders 1 to 3 (Lu et al. 2022, arXiv 2211.01095,
//! algorithm 2): the clean sample is predicted and extrapolated from the last predictions.
//!
//! Leaves out the older noise-predicting `dpmsolver`, the SDE variants and flow matching, each
//! refused by name.

use super::betas::Training;
use super::dpm_schedule::schedule;
use super::error::Error;
use super::euler::final_sigma;
use super::fields::Fields;
use super::prediction::Prediction;
use super::threshold::Limit;
use super::{Run, Scheduler, mix};

pub(super) const KEYS: &[&str] = &[
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
];

/// Runs shorter than this end in lower orders where `lower_order_final` is set.
const FEW_STEPS: usize = 15;

pub(super) struct DpmMultistep {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    levels: Vec<Level>,
    rule: Rule,
    prediction: Prediction,
    limit: Limit,
    /// Predicted clean samples, newest first; as many are in use as steps were taken.
    clean: [Vec<f32>; 3],
    taken: usize,
}

/// Which update each step takes.
struct Rule {
    order: usize,
    solver: Solver,
    lower_order_final: bool,
    /// Whether the last step is of first order however long the run is.
    first_order_last: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Solver {
    Midpoint,
    Heun,
}

/// A noise level in variance-preserving form: x = α·x₀ + σ·ε, and λ = ln α − ln σ.
#[derive(Clone, Copy)]
struct Level {
    alpha: f32,
    sigma: f32,
    lambda: f32,
}

impl DpmMultistep {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        refuse_what_is_missing(fields)?;
        let training = Training::read(fields)?.keep_sigmas_finite();
        training.check_steps(run.steps)?;
        let (timesteps, mut sigmas) = schedule(fields, &training, run.steps)?;
        let last = final_sigma(fields, training.sigmas()[0])?;
        let rule = Rule::read(fields, last == 0.0)?;
        if rule.order > 1 && sigmas.windows(2).any(|pair| pair[0] <= pair[1]) {
            let reason = "two steps fall on one noise level, which leaves orders above 1 \
                          undefined; take fewer steps";
            return Err(fields.rejected("num_inference_steps", run.steps, reason));
        }
        sigmas.push(last);
        Ok(Self {
            timesteps,
            levels: sigmas.iter().map(|sigma| Level::new(*sigma)).collect(),
            sigmas,
            rule,
            prediction: prediction(fields)?,
            limit: Limit::read_thresholding(fields)?,
            clean: Default::default(),
            taken: 0,
        })
    }

    /// Predicts the clean sample as the newest of `self.clean`.
    fn predict(&mut self, step: usize, model_output: &[f32], sample: &[f32]) {
        if self.taken == 0 {
            for buffer in self.clean.iter_mut().take(self.rule.order) {
                buffer.resize(sample.len(), 0.0);
            }
        }
        let Level { alpha, sigma, .. } = self.levels[step];
        self.clean[..self.rule.order].rotate_right(1);
        let newest = &mut self.clean[0];
        for ((clean, x), output) in newest.iter_mut().zip(sample).zip(model_output) {
            *clean = match self.prediction {
                Prediction::Epsilon => (x - sigma * output) / alpha,
                Prediction::Velocity => alpha * x - sigma * output,
                Prediction::Sample => *output,
            };
        }
        self.limit.apply(newest);
    }

    fn first_order(&self, step: usize, sample: &mut [f32]) {
        let (from, to) = (self.levels[step], self.levels[step + 1]);
        let keep = to.sigma / from.sigma;
        let move_on = to.alpha * ((-(to.lambda - from.lambda)).exp() - 1.0);
        for (x, m0) in sample.iter_mut().zip(&self.clean[0]) {
            *x = keep * *x - move_on * m0;
        }
    }

    fn second_order(&self, step: usize, sample: &mut [f32]) {
        let [to, s0, s1] = [1, 0, -1].map(|offset| self.levels[step.wrapping_add_signed(offset)]);
        let (h, h0) = (to.lambda - s0.lambda, s0.lambda - s1.lambda);
        let slope = 1.0 / (h0 / h);
        let growth = (-h).exp() - 1.0;
        let (keep, move_on) = (to.sigma / s0.sigma, to.alpha * growth);
        let bend = match self.rule.solver {
            Solver::Midpoint => -0.5 * move_on,
            Solver::Heun => to.alpha * (growth / h + 1.0),
        };
        let [m0, m1, _] = &self.clean;
        for ((x, m0), m1) in sample.iter_mut().zip(m0).zip(m1) {
            *x = keep * *x - move_on * m0 + bend * (slope * (m0 - m1));
        }
    }

    fn third_order(&self, step: usize, sample: &mut [f32]) {
        let [to, s0, s1, s2] =
            [1, 0, -1, -2].map(|offset| self.levels[step.wrapping_add_signed(offset)]);
        let h = to.lambda - s0.lambda;
        let (r0, r1) = ((s0.lambda - s1.lambda) / h, (s1.lambda - s2.lambda) / h);
        let growth = (-h).exp() - 1.0;
        let (keep, move_on) = (to.sigma / s0.sigma, to.alpha * growth);
        let bend = to.alpha * (growth / h + 1.0);
        let twist = to.alpha * ((growth + h) / (h * h) - 0.5);
        let [m0, m1, m2] = &self.clean;
        for (((x, m0), m1), m2) in sample.iter_mut().zip(m0).zip(m1).zip(m2) {
            let (near, far) = ((1.0 / r0) * (m0 - m1), (1.0 / r1) * (m1 - m2));
            let first = near + (r0 / (r0 + r1)) * (near - far);
            let second = (1.0 / (r0 + r1)) * (near - far);
            *x = keep * *x - move_on * m0 + bend * first - twist * second;
        }
    }
}

impl Scheduler for DpmMultistep {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Level { alpha, sigma, .. } = self.levels[step];
        mix(alpha, original, sigma, noise, noisy);
    }

    fn step(&mut self, step: usize, model_output: &[f32], sample: &mut [f32], _: Option<&[f32]>) {
        self.predict(step, model_output, sample);
        match self.rule.order_at(step, self.timesteps.len(), self.taken) {
            1 => self.first_order(step, sample),
            2 => self.second_order(step, sample),
            _ => self.third_order(step, sample),
        }
        self.taken += 1;
    }
}

impl Rule {
    fn read(fields: &Fields<'_>, ends_at_zero: bool) -> Result<Self, Error> {
        let solvers = [
            ("midpoint", Solver::Midpoint),
            ("heun", Solver::Heun),
            // what other classes call theirs: diffusers takes midpoint for them
            ("logrho", Solver::Midpoint),
            ("bh1", Solver::Midpoint),
            ("bh2", Solver::Midpoint),
        ];
        Ok(Self {
            order: fields.integer("solver_order", 2, 1..=3)?,
            solver: fields.choice("solver_type", "midpoint", &solvers)?,
            lower_order_final: fields.bool("lower_order_final", true)?,
            // at σ = 0 the higher orders would divide by infinity
            first_order_last: fields.bool("euler_at_final", false)? || ends_at_zero,
        })
    }

    /// The order of step `step` of `steps`, after `taken` ones.
    fn order_at(&self, step: usize, steps: usize, taken: usize) -> usize {
        let short = self.lower_order_final && steps < FEW_STEPS;
        let end = match steps - step {
            1 if self.first_order_last || short => 1,
            2 if short => 2,
            _ => 3,
        };
        self.order.min(taken + 1).min(end)
    }
}

impl Level {
    fn new(noise: f32) -> Self {
        let alpha = 1.0 / (noise * noise + 1.0).sqrt();
        let sigma = noise * alpha;
        Self { alpha, sigma, lambda: alpha.ln() - sigma.ln() }
    }
}

fn prediction(fields: &Fields<'_>) -> Result<Prediction, Error> {
    let [epsilon, velocity, sample] = Prediction::ALL.map(|(name, kind)| (name, Some(kind)));
    let choices = [epsilon, velocity, sample, ("flow_prediction", None)];
    fields.choice("prediction_type", "epsilon", &choices)?.ok_or_else(|| {
        let remedy = "take epsilon, v_prediction or sample as the model was trained";
        fields.not_supported("prediction_type", "flow_prediction", remedy)
    })
}

fn refuse_what_is_missing(fields: &Fields<'_>) -> Result<(), Error> {
    fields.not_yet("use_dynamic_shifting", "set it to false")?;
    if let Some(variance) = fields.given("variance_type") {
        let remedy = "take ddim or euler with a model that predicts no variance";
        return Err(fields.not_supported("variance_type", variance, remedy));
    }
    let algorithms = [
        ("dpmsolver++", None),
        ("deis", None), // another class's algorithm: diffusers takes dpmsolver++ for it
        ("dpmsolver", Some("dpmsolver")),
        ("sde-dpmsolver", Some("sde-dpmsolver")),
        ("sde-dpmsolver++", Some("sde-dpmsolver++")),
    ];
    match fields.choice("algorithm_type", "dpmsolver++", &algorithms)? {
        None => Ok(()),
        Some(other) => Err(fields.not_supported("algorithm_type", other, "take dpmsolver++")),
    }
}
