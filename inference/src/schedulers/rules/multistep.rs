//! The multistep form of DPM-Solver, orders 1 to 3: differences are of past predictions (Lu et al.
//! 2022, arXiv 2211.01095, algorithm 2). Three classes share it.

use super::dpm_update::{Algorithm, Solver, Update};
use super::memory::Snapshot;
use super::rule::Step;
use crate::noise::Draw;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::Level;

/// Runs shorter than this end in lower orders where `lower_order_final` is set.
pub(crate) const FEW_STEPS: usize = 15;

/// The rule. It looks back on the predictions of past steps.
#[derive(Debug)]
pub(crate) struct Multistep {
    pub(crate) levels: Vec<Level>,
    algorithm: Algorithm,
    solver: Solver,
    pub(crate) orders: Orders,
}

/// Which order each step has.
#[derive(Debug)]
pub(crate) struct Orders {
    /// 1 to 3.
    pub(crate) most: usize,
    /// Whether short runs end in lower orders.
    pub(crate) lower_final: bool,
    /// Whether the last step is of first order however long the run is.
    pub(crate) first_last: bool,
}

impl Orders {
    /// Reads the keys of the class; at σ = 0 the higher orders would divide by infinity.
    pub(crate) fn read(fields: &Fields<'_>, ends_at_zero: bool) -> Result<Self, Error> {
        Ok(Self {
            most: fields.integer("solver_order", 2, 1..=3)?,
            lower_final: fields.bool("lower_order_final", true)?,
            first_last: fields.bool("euler_at_final", false)? || ends_at_zero,
        })
    }

    /// The order of step `step` of `steps`, with so many predictions `known` as of its own.
    pub(crate) fn at(&self, step: usize, steps: usize, known: usize) -> usize {
        let short = self.lower_final && steps < FEW_STEPS;
        let end = match steps - step {
            1 if self.first_last || short => 1,
            2 if short => 2,
            _ => 3,
        };
        self.most.min(known).min(end)
    }
}

impl Multistep {
    /// The rule over `levels`, one more than there are steps. Reads `solver_type`.
    pub(crate) fn read(
        fields: &Fields<'_>,
        levels: Vec<Level>,
        algorithm: Algorithm,
        orders: Orders,
    ) -> Result<Self, Error> {
        if orders.most == 3 && algorithm == Algorithm::NoiseSde {
            let reason = "sde-dpmsolver has no third order; take 2, or sde-dpmsolver++";
            return Err(fields.rejected("solver_order", 3, reason));
        }
        let rule = Self { levels, algorithm, solver: Solver::read(fields)?, orders };
        for step in 0..rule.steps() {
            let (update, slopes) = rule.update(step, rule.orders.at(step, rule.steps(), step + 1));
            if !update.is_finite() || slopes.iter().any(|x| !x.is_finite()) {
                return Err(fields.not_finite(step));
            }
        }
        Ok(rule)
    }

    fn steps(&self) -> usize {
        self.levels.len() - 1
    }

    /// What each step draws.
    pub(crate) fn draw(&self) -> Option<Draw> {
        self.algorithm.draw()
    }

    /// Takes the step along the newest prediction.
    pub(crate) fn advance(&self, mut step: Step<'_>, state: &Snapshot) {
        let order = self.orders.at(step.call, self.steps(), state.history.len());
        let (update, [near, far, lean, halve]) = self.update(step.call, order);
        let Update { keep, along, bend, twist, .. } = update;
        let [m0, m1, m2] = state.newest();
        let sample = step.sample.iter_mut();
        match order {
            1 => sample.zip(m0).for_each(|(x, m0)| *x = keep * *x + along * m0),
            2 => {
                for ((x, m0), m1) in sample.zip(m0).zip(m1) {
                    *x = keep * *x + along * m0 + bend * (near * (m0 - m1));
                }
            }
            _ => {
                for (((x, m0), m1), m2) in sample.zip(m0).zip(m1).zip(m2) {
                    let (near, far) = (near * (m0 - m1), far * (m1 - m2));
                    let first = near + lean * (near - far);
                    let second = halve * (near - far);
                    *x = keep * *x + along * m0 + bend * first + twist * second;
                }
            }
        }
        step.add_noise(update.noise);
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
