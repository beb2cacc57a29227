//! Euler's method with EDM's preconditioning (Karras et al. 2022, algorithm 1 without its second
//! order).

use crate::schedulers::about::{About, Kind};
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{EdmLevels, karras, linspace, read_final_sigma};
use crate::schedulers::rules::{Memory, Preconditioning, Rule, Step};
use crate::schedulers::run::Run;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "EDMEulerScheduler",
        kind: Kind::Edm,
        keys: &[keys::EDM, &["prediction_type", "rho", "final_sigmas_type"]],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct EdmEuler {
    preconditioning: Preconditioning,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let levels = EdmLevels::read(fields, run, [0.002, 80.0], "karras")?;
    let mut sigmas =
        if levels.karras { curve(&levels, run) } else { levels.exponential(run.steps) };
    let least = sigmas[sigmas.len() - 1];
    sigmas.push(read_final_sigma(fields, least)?);
    let preconditioning = Preconditioning::read(fields, 0.5, "epsilon")?;
    let schedule = preconditioning.schedule(&levels, EdmLevels::timesteps(&sigmas), sigmas);
    Ok((schedule, Box::new(EdmEuler { preconditioning })))
}

/// Karras' levels, in double precision here.
fn curve(EdmLevels { min, max, rho, .. }: &EdmLevels, run: &Run) -> Vec<f32> {
    let ramp = linspace(0.0, 1.0, run.steps);
    ramp.iter().map(|ramp| karras(*min, *max, *rho, *ramp) as f32).collect()
}

impl Rule for EdmEuler {
    fn step(&self, mut step: Step<'_>, _: &mut Memory) {
        let (sigma, next) = step.sigmas();
        let (skip, out) = self.preconditioning.output_factors(sigma);
        step.map(|x, output| {
            let clean = skip * x + out * output;
            x + (x - clean) / sigma * (next - sigma)
        });
    }
}
