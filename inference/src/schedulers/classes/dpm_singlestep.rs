//! DPM-Solver and DPM-Solver++ in their singlestep form, orders 1 to 3 (Lu et al. 2022, arXiv
//! 2206.00927, algorithms 1 and 2; 2211.01095, algorithm 1): a step of order n is n calls of the
//! model, each moving on from the step's start with one difference more.

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Family, Level, SolverLevels};
use crate::schedulers::rules::{
    Algorithm, Conversion, Memory, Rule, Solver, Step, Update, ends_at_zero, learns_variance,
};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "DPMSolverSinglestepScheduler",
        keys: &[
            keys::TRAINING,
            &["solver_order", "prediction_type"],
            keys::THRESHOLDING,
            &["algorithm_type", "solver_type", "lower_order_final"],
            keys::CURVES,
            keys::FLOW,
            &["final_sigmas_type", "lambda_min_clipped", "variance_type"],
            keys::SHIFTING,
        ],
        takes: &["timesteps", "mu"],
        ..About::USUAL
    },
    build,
};

/// Predictions that a step is made of at most.
const ORDER: usize = 3;

#[derive(Debug)]
struct DpmSinglestep {
    levels: Vec<Level>,
    orders: Vec<usize>,
    algorithm: Algorithm,
    solver: Solver,
    conversion: Conversion,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let algorithm = fields.choice("algorithm_type", "dpmsolver++", &Algorithm::ALL[..4])?;
    let SolverLevels { schedule, levels } = SolverLevels::read(Family::Singlestep, fields, run)?;
    let ends_at_zero = ends_at_zero(fields, algorithm)?;
    let conversion = Conversion::read(fields, algorithm.target())?;
    if conversion.thresholds() && algorithm == Algorithm::Noise {
        let reason = "thresholding a clean sample goes with dpmsolver++ here";
        return Err(fields.rejected("thresholding", true, reason));
    }
    let most = fields.integer("solver_order", 2, 1..=ORDER)?;
    let lower_final = fields.bool("lower_order_final", false)?;
    let orders = orders(schedule.timesteps.len(), most, lower_final, ends_at_zero);
    let solver = Solver::read(fields)?;
    let schedule = Schedule {
        is_flow: conversion.is_flow(),
        takes_variance: learns_variance(fields)?,
        ..schedule
    };
    let rule = DpmSinglestep { levels, orders, algorithm, solver, conversion };
    for (step, order) in rule.orders.iter().enumerate() {
        let (update, ratios) = rule.update(step, *order);
        if !update.is_finite() || ratios.iter().any(|x| !x.is_finite()) {
            return Err(fields.not_finite(step));
        }
    }
    Ok((schedule.drawing(|_| algorithm.draw()), Box::new(rule)))
}

impl DpmSinglestep {
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
}

impl Rule for DpmSinglestep {
    fn step(&self, mut step: Step<'_>, memory: &mut Memory) {
        self.conversion.remember(&self.levels[step.call], &step, ORDER, memory);
        let state = &mut memory.state;
        // a run that begins within a step has less to look back on
        let order = self.orders[step.call].min(state.history.len());
        if order == 1 {
            state.begin(step.sample);
        }
        let (update, [r0, r1]) = self.update(step.call, order);
        let Update { keep, along, bend, twist, .. } = update;
        state.rewind(step.sample);
        let [m0, m1, m2] = state.newest();
        let sample = step.sample.iter_mut();
        match order {
            1 => sample.zip(m0).for_each(|(x, m0)| *x = keep * *x + along * m0),
            2 => {
                for ((x, m0), m1) in sample.zip(m0).zip(m1) {
                    *x = keep * *x + along * m1 + bend * (1.0 / r0 * (m0 - m1));
                }
            }
            _ => {
                let heun = self.solver == Solver::Heun;
                for (((x, m0), m1), m2) in sample.zip(m0).zip(m1).zip(m2) {
                    let (near, far) = (1.0 / r1 * (m1 - m2), 1.0 / r0 * (m0 - m2));
                    let first = if heun { (r0 * near - r1 * far) / (r0 - r1) } else { far };
                    let second = 2.0 * (far - near) / (r0 - r1);
                    *x = keep * *x + along * m2 + bend * first + twist * second;
                }
            }
        }
        step.add_noise(update.noise);
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
