//! The multistep form of DPM-Solver, orders 1 to 3: differences are of past predictions (Lu et al.
//! 2022, arXiv 2211.01095, algorithm 2). Three classes share it.

use super::dpm_update::{Algorithm, Solver, Update};
use super::error::Error;
use super::fields::Fields;
use super::level::Level;

/// Runs shorter than this end in lower orders where `lower_order_final` is set.
pub(super) const FEW_STEPS: usize = 15;

/// The rule, and the predictions it looks back on.
pub(super) struct Multistep {
    levels: Vec<Level>,
    algorithm: Algorithm,
    solver: Solver,
    orders: Orders,
    /// Predictions, newest first; as many are in use as steps were taken.
    predictions: [Vec<f32>; 3],
    taken: usize,
}

/// Which order each step has.
pub(super) struct Orders {
    /// 1 to 3.
    pub(super) most: usize,
    /// Whether short runs end in lower orders.
    pub(super) lower_final: bool,
    /// Whether the last step is of first order however long the run is.
    pub(super) first_last: bool,
}

impl Orders {
    /// Reads the keys of the class; at σ = 0 the higher orders would divide by infinity.
    pub(super) fn read(fields: &Fields<'_>, ends_at_zero: bool) -> Result<Self, Error> {
        Ok(Self {
            most: fields.integer("solver_order", 2, 1..=3)?,
            lower_final: fields.bool("lower_order_final", true)?,
            first_last: fields.bool("euler_at_final", false)? || ends_at_zero,
        })
    }

    /// The order of step `step` of `steps`, after `taken` ones.
    pub(super) fn at(&self, step: usize, steps: usize, taken: usize) -> usize {
        let short = self.lower_final && steps < FEW_STEPS;
        let end = match steps - step {
            1 if self.first_last || short => 1,
            2 if short => 2,
            _ => 3,
        };
        self.most.min(taken + 1).min(end)
    }
}

impl Multistep {
    /// The rule over `levels`, one more than there are steps.
    pub(super) fn new(
        fields: &Fields<'_>,
        levels: Vec<Level>,
        algorithm: Algorithm,
        solver: Solver,
        orders: Orders,
    ) -> Result<Self, Error> {
        if orders.most == 3 && algorithm == Algorithm::NoiseSde {
            let reason = "sde-dpmsolver has no third order; take 2, or sde-dpmsolver++";
            return Err(fields.rejected("solver_order", 3, reason));
        }
        let rule =
            Self { levels, algorithm, solver, orders, predictions: Default::default(), taken: 0 };
        for step in 0..rule.steps() {
            let order = rule.orders.at(step, rule.steps(), step);
            let (_, slopes) = rule.update(step, order);
            if !rule.update(step, order).0.is_finite() || slopes.iter().any(|x| !x.is_finite()) {
                return Err(not_finite(fields, step));
            }
        }
        Ok(rule)
    }

    fn steps(&self) -> usize {
        self.levels.len() - 1
    }

    pub(super) fn level(&self, step: usize) -> &Level {
        &self.levels[step]
    }

    /// Room for the prediction of a step that is about to be taken, as the newest one.
    pub(super) fn newest(&mut self, length: usize) -> &mut [f32] {
        let order = self.orders.most;
        if self.taken == 0 {
            self.predictions[..order].iter_mut().for_each(|buffer| buffer.resize(length, 0.0));
        }
        self.predictions[..order].rotate_right(1);
        self.taken += 1;
        &mut self.predictions[0]
    }

    /// Takes step `step` along the newest prediction.
    pub(super) fn advance(&self, step: usize, sample: &mut [f32], noise: Option<&[f32]>) {
        let order = self.orders.at(step, self.steps(), self.taken - 1);
        let (update, [near, far, lean, halve]) = self.update(step, order);
        let Update { keep, along, bend, twist, .. } = update;
        let [m0, m1, m2] = &self.predictions;
        match order {
            1 => sample.iter_mut().zip(m0).for_each(|(x, m0)| *x = keep * *x + along * m0),
            2 => {
                for ((x, m0), m1) in sample.iter_mut().zip(m0).zip(m1) {
                    *x = keep * *x + along * m0 + bend * (near * (m0 - m1));
                }
            }
            _ => {
                for (((x, m0), m1), m2) in sample.iter_mut().zip(m0).zip(m1).zip(m2) {
                    let (near, far) = (near * (m0 - m1), far * (m1 - m2));
                    let first = near + lean * (near - far);
                    let second = halve * (near - far);
                    *x = keep * *x + along * m0 + bend * first + twist * second;
                }
            }
        }
        add_noise(self.algorithm, update.noise, sample, noise);
    }

    /// The update of a step, and the weights of its differences.
    fn update(&self, step: usize, order: usize) -> (Update, [f32; 4]) {
        let back = |count: usize| self.levels[step.saturating_sub(count)].lambda;
        let (from, to) = (&self.levels[step], &self.levels[step + 1]);
        let h = to.lambda - from.lambda;
        let (r0, r1) = ((back(0) - back(1)) / h, (back(1) - back(2)) / h);
        let slopes = match order {
            1 => [0.0; 4],
            2 => [1.0 / r0, 0.0, 0.0, 0.0],
            _ => [1.0 / r0, 1.0 / r1, r0 / (r0 + r1), 1.0 / (r0 + r1)],
        };
        (Update::new(self.algorithm, self.solver, order, from, to), slopes)
    }
}

/// Adds a stochastic rule's fresh noise.
pub(super) fn add_noise(
    algorithm: Algorithm,
    weight: f32,
    sample: &mut [f32],
    noise: Option<&[f32]>,
) {
    debug_assert!(noise.is_some() || !algorithm.is_stochastic(), "an SDE step needs its noise");
    if let (true, Some(noise)) = (algorithm.is_stochastic(), noise) {
        sample.iter_mut().zip(noise).for_each(|(x, noise)| *x += weight * noise);
    }
}

/// Why a rule that diffusers would run into NaN is refused.
pub(super) fn not_finite(fields: &Fields<'_>, step: usize) -> Error {
    let reason = format!(
        "step {step} would not be finite: two steps fall on one noise level, or a level is out of \
         the rule's range; take fewer steps, another spacing, curve or final_sigmas_type"
    );
    fields.rejected("num_inference_steps", "as given", &reason)
}
