//! DPM-Solver and DPM-Solver++ in their multistep form, orders 1 to 3, and their SDE variants (Lu
//! et al. 2022, arXiv 2206.00927 and 2211.01095).

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Family, SolverLevels};
use crate::schedulers::rules::{
    Algorithm, Conversion, Memory, Multistep, Orders, Rule, Step, ends_at_zero, learns_variance,
};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "DPMSolverMultistepScheduler",
        keys: &[
            keys::TRAINING,
            &["solver_order", "prediction_type"],
            keys::THRESHOLDING,
            &["algorithm_type", "solver_type", "lower_order_final", "euler_at_final"],
            keys::CURVES,
            &["use_lu_lambdas"],
            keys::FLOW,
            &["final_sigmas_type", "lambda_min_clipped", "variance_type"],
            keys::SPACING,
            &["rescale_betas_zero_snr"],
            keys::SHIFTING,
        ],
        takes: &["timesteps", "mu"],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct DpmMultistep {
    conversion: Conversion,
    multistep: Multistep,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let algorithm = fields.choice("algorithm_type", "dpmsolver++", &Algorithm::ALL)?;
    let SolverLevels { schedule, levels } = SolverLevels::read(Family::Multistep, fields, run)?;
    let orders = Orders::read(fields, ends_at_zero(fields, algorithm)?)?;
    let multistep = Multistep::read(fields, levels, algorithm, orders)?;
    let conversion = Conversion::read(fields, algorithm.target())?;
    let draw = multistep.draw();
    let schedule = Schedule {
        is_flow: conversion.is_flow(),
        takes_variance: learns_variance(fields)?,
        ..schedule
    };
    Ok((schedule.drawing(|_| draw), Box::new(DpmMultistep { conversion, multistep })))
}

impl Rule for DpmMultistep {
    fn step(&self, step: Step<'_>, memory: &mut Memory) {
        let Multistep { levels, orders, .. } = &self.multistep;
        self.conversion.remember(&levels[step.call], &step, orders.most, memory);
        self.multistep.advance(step, &memory.state);
    }
}
