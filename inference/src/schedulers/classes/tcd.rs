//! Trajectory consistency models' sampling: jump below the next timestep, then noise up to it
//! (Zheng et al. 2024, arXiv 2402.19159, strategic stochastic sampling; γ is the run's η).

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
        name: "TCDScheduler",
        keys: DISTILLED_KEYS,
        takes: DISTILLED_TAKES,
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct Tcd {
    clean: Clean,
    steps: Vec<Jump>,
}

/// One step's numbers; s is the timestep below the next one that is jumped to.
#[derive(Debug)]
struct Jump {
    /// What the sample at s is made of.
    below: Mixture,
    /// What the next timestep's sample is made of: the sample at s, and noise.
    next: Mixture,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::LATENT)?;
    let distilled = Distillation::read(fields, &training, run, true)?;
    let timesteps = &distilled.timesteps;
    let clean = Clean::read(fields, &training, timesteps, Limit::None)?;
    let alphas = &training.alphas_cumprod;
    let jump = |to: usize| {
        let s = ((1.0 - f64::from(run.eta)) as f32 * to as f32).floor() as usize;
        let ratio = alphas[to] / alphas[s];
        Jump { below: Mixture::of_alpha_cumprod(alphas[s]), next: Mixture::of_alpha_cumprod(ratio) }
    };
    let steps = timesteps.iter().copied().skip(1).chain([0]).map(jump).collect();
    let schedule = distilled.schedule(alphas, run.eta > 0.0);
    Ok((schedule, Box::new(Tcd { clean, steps })))
}

impl Rule for Tcd {
    fn step(&self, mut step: Step<'_>, _: &mut Memory) {
        let (at, mixture) = (&self.steps[step.call], step.mixture());
        let Mixture { alpha, sigma } = at.below;
        step.map(|x, output| {
            let clean = self.clean.unlimited(mixture, output, x);
            alpha * clean + sigma * self.clean.noise(mixture, output, x)
        });
        step.blend_noise(at.next);
    }
}
