//! DEIS: exponential integration with a polynomial through past noise predictions in ln ρ, orders
//! 1 to 3 (Zhang & Chen 2022, arXiv 2204.13902, log-rho multistep).

use super::betas::{Defaults, Training};
use super::conversion::{Conversion, Target};
use super::error::Error;
use super::fields::Fields;
use super::level::Level;
use super::multistep::{Orders, not_finite};
use super::names::About;
use super::solver_schedule::{Family, SolverSchedule, check_mu};
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About {
    name: "DEISMultistepScheduler",
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
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_flow_sigmas",
        "flow_shift",
        "timestep_spacing",
        "steps_offset",
        "use_dynamic_shifting",
        "time_shift_type",
    ],
    takes: &["mu"],
};

pub(super) struct Deis {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    levels: Vec<Level>,
    conversion: Conversion,
    orders: Orders,
    /// Noise predictions, newest first; as many are in use as steps were taken.
    predictions: [Vec<f32>; 3],
    taken: usize,
}

/// x' = scale · (x / divisor + Σ weightᵢ · εᵢ), newest prediction first.
struct Update {
    scale: f32,
    divisor: f32,
    weights: [f32; 3],
}

impl Deis {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?;
        check_mu(Family::Deis, fields, run)?;
        // the names of other classes' algorithms and solvers mean this class's own
        let algorithms = ["deis", "dpmsolver", "dpmsolver++"].map(|name| (name, ()));
        fields.choice("algorithm_type", "deis", &algorithms)?;
        let solvers = ["logrho", "midpoint", "heun", "bh1", "bh2"].map(|name| (name, ()));
        fields.choice("solver_type", "logrho", &solvers)?;
        let schedule = SolverSchedule::read(Family::Deis, fields, &training, run)?;
        let orders = Orders {
            most: fields.integer("solver_order", 2, 1..=3)?,
            lower_final: fields.bool("lower_order_final", true)?,
            first_last: false,
        };
        let scheduler = Self {
            levels: Level::all(schedule.form, &schedule.sigmas),
            timesteps: schedule.timesteps,
            sigmas: schedule.sigmas,
            conversion: Conversion::read(fields, Target::NoiseOfClean)?,
            orders,
            predictions: Default::default(),
            taken: 0,
        };
        for step in 0..scheduler.timesteps.len() {
            let order = scheduler.orders.at(step, scheduler.timesteps.len(), step);
            if !scheduler.update(step, order).is_finite() {
                return Err(not_finite(fields, step));
            }
        }
        Ok(scheduler)
    }

    fn update(&self, step: usize, order: usize) -> Update {
        let (from, to) = (&self.levels[step], &self.levels[step + 1]);
        let rho = |level: &Level| level.sigma / level.alpha;
        let back = |count: usize| rho(&self.levels[step.saturating_sub(count)]);
        let [t, s0, s1, s2] = [rho(to), back(0), back(1), back(2)];
        let weights = match order {
            2 => [
                integral2(t, s0, s1) - integral2(s0, s0, s1),
                integral2(t, s1, s0) - integral2(s0, s1, s0),
                0.0,
            ],
            3 => [
                integral3(t, s0, s1, s2) - integral3(s0, s0, s1, s2),
                integral3(t, s1, s2, s0) - integral3(s0, s1, s2, s0),
                integral3(t, s2, s0, s1) - integral3(s0, s2, s0, s1),
            ],
            _ => [-(to.sigma * ((to.lambda - from.lambda).exp() - 1.0)), 0.0, 0.0],
        };
        Update { scale: to.alpha, divisor: from.alpha, weights }
    }
}

impl Update {
    fn is_finite(&self) -> bool {
        self.weights.iter().chain([&self.scale, &self.divisor]).all(|x| x.is_finite())
    }
}

impl Scheduler for Deis {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn is_flow(&self) -> bool {
        self.conversion.is_flow()
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Level { alpha, sigma, .. } = self.levels[step];
        mix(alpha, original, sigma, noise, noisy);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        _noise: Option<&[f32]>,
    ) {
        if self.taken == 0 {
            self.predictions.iter_mut().for_each(|buffer| buffer.resize(sample.len(), 0.0));
        }
        self.predictions.rotate_right(1);
        let newest = &mut self.predictions[0];
        self.conversion.convert(&self.levels[step], model_output, sample, newest);
        let order = self.orders.at(step, self.timesteps.len(), self.taken);
        self.taken += 1;
        let Update { scale, divisor, weights: [w0, w1, w2] } = self.update(step, order);
        let [m0, m1, m2] = &self.predictions;
        let parts = sample.iter_mut().zip(m0);
        match order {
            1 => {
                let keep = scale / divisor;
                parts.for_each(|(x, m0)| *x = keep * *x + w0 * m0);
            }
            2 => parts.zip(m1).for_each(|((x, m0), m1)| {
                *x = scale * (*x / divisor + w0 * m0 + w1 * m1);
            }),
            _ => parts.zip(m1).zip(m2).for_each(|(((x, m0), m1), m2)| {
                *x = scale * (*x / divisor + w0 * m0 + w1 * m1 + w2 * m2);
            }),
        }
    }
}

/// ∫ of the line through 1 at ln `one` and 0 at ln `zero`, over ρ up to `rho`.
fn integral2(rho: f32, one: f32, zero: f32) -> f32 {
    rho * (-zero.ln() + rho.ln() - 1.0) / (one.ln() - zero.ln())
}

/// ∫ of the parabola through 1 at ln `one` and 0 at the logarithms of the others.
fn integral3(rho: f32, one: f32, zero: f32, other: f32) -> f32 {
    let [t, b, c, d] = [rho, one, zero, other].map(f32::ln);
    let numerator = rho * (c * (d - t + 1.0) - d * t + d + t * t - 2.0 * t + 2.0);
    numerator / ((b - c) * (b - d))
}
