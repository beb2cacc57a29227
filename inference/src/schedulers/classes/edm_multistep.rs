//! DPM-Solver++ in its multistep form with EDM's preconditioning and levels.

use crate::schedulers::about::{About, Kind};
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{EdmLevels, Form, Level, read_final_sigma};
use crate::schedulers::rules::{
    Algorithm, EdmMultistep, Limit, Multistep, Orders, Preconditioning, ends_at_zero,
};
use crate::schedulers::run::Run;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "EDMDPMSolverMultistepScheduler",
        kind: Kind::Edm,
        keys: &[
            keys::EDM,
            &["prediction_type", "rho", "solver_order"],
            keys::THRESHOLDING,
            &["algorithm_type", "solver_type", "lower_order_final", "euler_at_final"],
            &["final_sigmas_type"],
        ],
        ..About::USUAL
    },
    build,
};

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let ends = EdmLevels::read(fields, run, [0.002, 80.0], "karras")?;
    let algorithm = fields.choice("algorithm_type", "dpmsolver++", &Algorithm::ALL[..3])?;
    let mut sigmas = ends.levels(run.steps);
    let last = read_final_sigma(fields, ends.min as f32)?;
    ends_at_zero(fields, algorithm)?;
    sigmas.push(last);
    let orders = Orders::read(fields, last == 0.0)?;
    if orders.most == 3 && algorithm == Algorithm::CleanSde {
        let reason = "sde-dpmsolver++ has no third order here; take 2";
        return Err(fields.rejected("solver_order", 3, reason));
    }
    let levels = Level::all(Form::Exploding, &sigmas);
    let multistep = Multistep::read(fields, levels, algorithm, orders)?;
    let preconditioning = Preconditioning::read(fields, 0.5, "epsilon")?;
    let limit = Limit::read_thresholding(fields)?;
    let draw = multistep.draw();
    let schedule = preconditioning.schedule(&ends, EdmLevels::timesteps(&sigmas), sigmas);
    Ok((schedule.drawing(|_| draw), Box::new(EdmMultistep { preconditioning, limit, multistep })))
}
