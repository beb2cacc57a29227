//! Stable Audio's sampler: DPM-Solver++ for the SDE in its multistep form, over levels whose
//! timestep is an angle, with noise from one Brownian motion (Evans et al. 2024, "Stable Audio
//! Open").

use crate::noise::{Draw, Stretch};
use crate::schedulers::about::{About, Kind};
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{EdmLevels, Form, Level, read_final_sigma};
use crate::schedulers::rules::{
    Algorithm, EdmMultistep, Limit, Multistep, Orders, Preconditioning,
};
use crate::schedulers::run::Run;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "CosineDPMSolverMultistepScheduler",
        kind: Kind::Edm,
        keys: &[
            keys::EDM,
            &["solver_order", "prediction_type", "rho", "solver_type", "lower_order_final"],
            &["euler_at_final", "final_sigmas_type"],
        ],
        ..About::USUAL
    },
    build,
};

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let ends = EdmLevels::read(fields, run, [0.3, 500.0], "exponential")?;
    let mut sigmas = ends.levels(run.steps);
    let last = read_final_sigma(fields, ends.min as f32)?;
    if last > 0.0 {
        let reason = "the last step would go nowhere, and its noise be zero over zero";
        return Err(fields.rejected("final_sigmas_type", "sigma_min", reason));
    }
    sigmas.push(last);
    let orders = Orders::read(fields, last == 0.0)?;
    if orders.most > 2 {
        let reason = "the class has no third order; take 1 or 2";
        return Err(fields.rejected("solver_order", orders.most, reason));
    }
    let levels = Level::all(Form::Exploding, &sigmas);
    let multistep = Multistep::read(fields, levels, Algorithm::CleanSde, orders)?;
    let preconditioning = Preconditioning::read(fields, 1.0, "v_prediction")?;
    let (least, most) = (ends.min as f32, ends.max as f32);
    let stretch = |(from, to): (&f32, &f32)| {
        Draw::Brownian(Stretch { least, most, from: *from, to: *to, seed: None })
    };
    let draws: Vec<_> = sigmas.iter().zip(&sigmas[1..]).map(stretch).collect();
    let angle = |sigma: &f32| sigma.atan() / std::f32::consts::PI * 2.0;
    let timesteps = sigmas[..run.steps].iter().map(angle).collect();
    let schedule = preconditioning.schedule(&ends, timesteps, sigmas);
    let rule = EdmMultistep { preconditioning, limit: Limit::None, multistep };
    Ok((schedule.drawing(|call| draws.get(call).copied()), Box::new(rule)))
}
