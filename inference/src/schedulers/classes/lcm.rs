//! Latent consistency models' multistep sampling: jump to the clean sample, then noise it to the
//! next timestep (Luo et al. 2023, algorithm 3).

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::{
    DISTILLED_KEYS, DISTILLED_TAKES, Defaults, Distillation, Training,
};
use crate::schedulers::rules::{Clean, Limit, Memory, Rule, Step};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Mixture;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "LCMScheduler",
        keys: DISTILLED_KEYS,
        takes: DISTILLED_TAKES,
        ..About::USUAL
    },
    build,
};

/// The deviation of the data that the boundary condition is written for.
const DATA: f32 = 0.5;

#[derive(Debug)]
struct Lcm {
    clean: Clean,
    steps: Vec<Jump>,
}

/// One step's numbers.
#[derive(Debug)]
struct Jump {
    /// What the next timestep's sample is made of.
    next: Mixture,
    /// The boundary condition: at timestep 0 the sample is clean already.
    skip: f32,
    out: f32,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::LATENT)?;
    let distilled = Distillation::read(fields, &training, run, false)?;
    let timesteps = &distilled.timesteps;
    let clean = Clean::read(fields, &training, timesteps, Limit::read(fields, false)?)?;
    let scaling = fields.finite("timestep_scaling", 10.0)? as f32;
    let schedule = distilled.schedule(&training.alphas_cumprod, true);
    let nexts = schedule.mixtures.iter().skip(1).chain(schedule.mixtures.last());
    let jump = |(from, next): (&usize, &Mixture)| {
        let scaled = *from as f32 * scaling;
        let variance = scaled * scaled + DATA * DATA;
        Jump { next: *next, skip: DATA * DATA / variance, out: scaled / variance.sqrt() }
    };
    let steps = timesteps.iter().zip(nexts).map(jump).collect();
    Ok((schedule, Box::new(Lcm { clean, steps })))
}

impl Rule for Lcm {
    fn step(&self, step: Step<'_>, memory: &mut Memory) {
        let at = &self.steps[step.call];
        let clean = self.clean.predict(&step, &mut memory.scratch);
        for (x, clean) in step.sample.iter_mut().zip(clean) {
            *x = at.out * clean + at.skip * *x;
        }
        step.blend_noise(at.next);
    }
}
