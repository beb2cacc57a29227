//! DPM-Solver and DPM-Solver++ in their singlestep form, orders 1 to 3 (Lu et al. 2022, arXiv
//! 2206.00927, algorithms 1 and 2; 2211.01095, algorithm 1): a step of order n is n calls of the
//! model, each moving on from the step's start with one difference more.

use super::betas::{Defaults, Training};
use super::conversion::Conversion;
use super::dpm_multistep::{ends_at_zero, learns_variance, target};
use super::dpm_update::{Algorithm, Solver, Update};
use super::error::Error;
use super::fields::Fields;
use super::level::Level;
use super::multistep::{add_noise, not_finite};
use super::names::About;
use super::solver_schedule::{Family, SolverSchedule, check_mu};
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About {
    name: "DPMSolverSinglestepScheduler",
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
        "final_sigmas_type",
        "lambda_min_clipped",
        "variance_type",
        "use_dynamic_shifting",
        "time_shift_type",
    ],
    takes: &["timesteps", "mu"],
};

pub(super) struct DpmSinglestep {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    levels: Vec<Level>,
    orders: Vec<usize>,
    algorithm: Algorithm,
    solver: Solver,
    conversion: Conversion,
    learned_variance: bool,
    /// Where the step of several calls began.
    start: Vec<f32>,
    /// Predictions, newest first; `kept` of them are filled.
    predictions: [Vec<f32>; 3],
    kept: usize,
}

impl DpmSinglestep {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?;
        check_mu(Family::Singlestep, fields, run)?;
        let algorithm = fields.choice("algorithm_type", "dpmsolver++", &Algorithm::ALL[..4])?;
        let schedule = SolverSchedule::read(Family::Singlestep, fields, &training, run)?;
        let ends_at_zero = ends_at_zero(fields, algorithm)?;
        let conversion = Conversion::read(fields, target(algorithm))?;
        if conversion.thresholds() && algorithm == Algorithm::Noise {
            let reason = "thresholding a clean sample goes with dpmsolver++ here";
            return Err(fields.rejected("thresholding", true, reason));
        }
        let most = fields.integer("solver_order", 2, 1..=3)?;
        let lower_final = fields.bool("lower_order_final", false)?;
        let scheduler = Self {
            orders: orders(schedule.timesteps.len(), most, lower_final, ends_at_zero),
            timesteps: schedule.timesteps,
            levels: Level::all(schedule.form, &schedule.sigmas),
            sigmas: schedule.sigmas,
            algorithm,
            solver: Solver::read(fields)?,
            conversion,
            learned_variance: learns_variance(fields)?,
            start: Vec::new(),
            predictions: Default::default(),
            kept: 0,
        };
        for (step, order) in scheduler.orders.iter().enumerate() {
            let (update, slopes) = scheduler.update(step, *order);
            if !update.is_finite() || slopes.iter().any(|x| !x.is_finite()) {
                return Err(not_finite(fields, step));
            }
        }
        Ok(scheduler)
    }

    /// The update that ends a call of `order`, from its step's start, and the ratios r₀ and r₁ of
    /// the calls before, as fractions of the way.
    fn update(&self, step: usize, order: usize) -> (Update, [f32; 2]) {
        let back = |count: usize| &self.levels[step - count];
        let (from, to) = (back(order - 1), &self.levels[step + 1]);
        let h = to.lambda - from.lambda;
        let ratio = |count: usize| (back(count).lambda - from.lambda) / h;
        let ratios = match order {
            1 => [1.0, 1.0],
            2 => [ratio(0), 1.0],
            _ => [ratio(0), ratio(1)],
        };
        let mut update = Update::new(self.algorithm, self.solver, order, from, to);
        if self.solver == Solver::Midpoint {
            update.twist = 0.0;
        }
        (update, ratios)
    }

    /// Keeps the newest prediction, and the sample where a step begins; says of which order the
    /// call is.
    fn look(&mut self, step: usize, model_output: &[f32], sample: &[f32]) -> usize {
        if self.kept == 0 {
            for buffer in self.predictions.iter_mut().chain([&mut self.start]) {
                buffer.resize(sample.len(), 0.0);
            }
        }
        self.predictions.rotate_right(1);
        self.kept = (self.kept + 1).min(self.predictions.len());
        let newest = &mut self.predictions[0];
        self.conversion.convert(&self.levels[step], model_output, sample, newest);
        // a run that begins within a step has less to look back on
        let order = self.orders[step].min(self.kept);
        if order == 1 {
            self.start.copy_from_slice(sample);
        }
        order
    }
}

impl Scheduler for DpmSinglestep {
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
        let Level { alpha, sigma, .. } = self.levels[step];
        mix(alpha, original, sigma, noise, noisy);
    }

    fn step_noise(&self, _step: usize) -> Option<Draw> {
        self.algorithm.is_stochastic().then_some(Draw::Normal)
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let order = self.look(step, model_output, sample);
        let (update, [r0, r1]) = self.update(step, order);
        let Update { keep, along, bend, twist, .. } = update;
        let [m0, m1, m2] = &self.predictions;
        sample.copy_from_slice(&self.start);
        match order {
            1 => sample.iter_mut().zip(m0).for_each(|(x, m0)| *x = keep * *x + along * m0),
            2 => {
                for ((x, m0), m1) in sample.iter_mut().zip(m0).zip(m1) {
                    *x = keep * *x + along * m1 + bend * (1.0 / r0 * (m0 - m1));
                }
            }
            _ => {
                let heun = self.solver == Solver::Heun;
                for (((x, m0), m1), m2) in sample.iter_mut().zip(m0).zip(m1).zip(m2) {
                    let (near, far) = (1.0 / r1 * (m1 - m2), 1.0 / r0 * (m0 - m2));
                    let first = if heun { (r0 * near - r1 * far) / (r0 - r1) } else { far };
                    let second = 2.0 * (far - near) / (r0 - r1);
                    *x = keep * *x + along * m2 + bend * first + twist * second;
                }
            }
        }
        add_noise(self.algorithm, update.noise, sample, noise);
    }
}

/// The order of each call: 1 to `most` and over again, down to 1 at the end where the run's
/// length or its end at σ = 0 asks for it.
fn orders(calls: usize, most: usize, lower_final: bool, ends_at_zero: bool) -> Vec<usize> {
    let lower_final = lower_final || !calls.is_multiple_of(most) || ends_at_zero;
    let mut orders: Vec<usize> = (0..calls).map(|call| call % most + 1).collect();
    if lower_final && calls.is_multiple_of(most) {
        let tail: &[usize] = match most {
            3 => &[1, 2, 1],
            2 => &[1, 1],
            _ => &[1],
        };
        orders[calls - tail.len()..].copy_from_slice(tail);
    }
    if let (true, Some(last)) = (ends_at_zero, orders.last_mut()) {
        *last = 1;
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::orders;

    #[test]
    fn orders_rise_and_end_low() {
        assert_eq!(orders(6, 3, true, true), [1, 2, 3, 1, 2, 1]);
        assert_eq!(orders(7, 3, true, true), [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(orders(8, 3, true, false), [1, 2, 3, 1, 2, 3, 1, 2]);
        assert_eq!(orders(8, 3, true, true), [1, 2, 3, 1, 2, 3, 1, 1]);
        assert_eq!(orders(6, 3, false, false), [1, 2, 3, 1, 2, 3]);
        assert_eq!(orders(4, 2, false, true), [1, 2, 1, 1]);
        assert_eq!(orders(1, 3, false, true), [1]);
    }
}
