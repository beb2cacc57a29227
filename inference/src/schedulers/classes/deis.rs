//! DEIS: exponential integration with a polynomial through past noise predictions in ln ρ, orders
//! 1 to 3 (Zhang & Chen 2022, arXiv 2204.13902, log-rho multistep).

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Family, Level, SolverLevels};
use crate::schedulers::rules::{Conversion, Memory, Orders, Rule, Step, Target};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "DEISMultistepScheduler",
        keys: &[
            keys::TRAINING,
            &["solver_order", "prediction_type"],
            keys::THRESHOLDING,
            &["algorithm_type", "solver_type", "lower_order_final"],
            keys::CURVES,
            keys::FLOW,
            keys::SPACING,
            keys::SHIFTING,
        ],
        takes: &["mu"],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct Deis {
    levels: Vec<Level>,
    conversion: Conversion,
    orders: Orders,
}

/// x' = scale · (x / divisor + Σ weightᵢ · εᵢ), newest prediction first.
struct Update {
    scale: f32,
    divisor: f32,
    weights: [f32; 3],
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    // the names of other classes' algorithms and solvers mean this class's own
    let algorithms = ["deis", "dpmsolver", "dpmsolver++"].map(|name| (name, ()));
    fields.choice("algorithm_type", "deis", &algorithms)?;
    let solvers = ["logrho", "midpoint", "heun", "bh1", "bh2"].map(|name| (name, ()));
    fields.choice("solver_type", "logrho", &solvers)?;
    let SolverLevels { schedule, levels } = SolverLevels::read(Family::Deis, fields, run)?;
    let orders = Orders {
        most: fields.integer("solver_order", 2, 1..=3)?,
        lower_final: fields.bool("lower_order_final", true)?,
        first_last: false,
    };
    let conversion = Conversion::read(fields, Target::NoiseOfClean)?;
    let schedule = Schedule { is_flow: conversion.is_flow(), ..schedule };
    let rule = Deis { levels, conversion, orders };
    let steps = schedule.timesteps.len();
    let finite =
        |step: &usize| rule.update(*step, rule.orders.at(*step, steps, step + 1)).is_finite();
    match (0..steps).find(|step| !finite(step)) {
        Some(step) => Err(fields.not_finite(step)),
        None => Ok((schedule, Box::new(rule))),
    }
}

impl Deis {
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

impl Rule for Deis {
    fn step(&self, step: Step<'_>, memory: &mut Memory) {
        self.conversion.remember(&self.levels[step.call], &step, self.orders.most, memory);
        let state = &memory.state;
        let order = self.orders.at(step.call, self.levels.len() - 1, state.history.len());
        let Update { scale, divisor, weights: [w0, w1, w2] } = self.update(step.call, order);
        let [m0, m1, m2] = state.newest();
        let parts = step.sample.iter_mut().zip(m0);
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
