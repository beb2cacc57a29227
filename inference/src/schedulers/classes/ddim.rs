//! DDIM: deterministic, or with η as noisy as DDPM (Song et al. 2020, equations 12 and 16).

use crate::noise::Draw;
use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Defaults, Training, whole_timesteps};
use crate::schedulers::rules::{Clean, Limit, Memory, Rule, Step};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "DDIMScheduler",
        keys: &[
            keys::TRAINING,
            &["clip_sample", "set_alpha_to_one", "steps_offset"],
            keys::LIMITS,
            &["timestep_spacing", "rescale_betas_zero_snr"],
        ],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct Ddim {
    clean: Clean,
    steps: Vec<Coefficients>,
}

/// The factors of one step.
#[derive(Debug)]
struct Coefficients {
    /// √ᾱ of the timestep it goes to, the factor of the predicted clean sample.
    root_alpha_previous: f32,
    /// The factor of the predicted noise.
    direction: f32,
    /// The standard deviation σ of the added noise.
    noise: f32,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::PLAIN)?;
    let timesteps = whole_timesteps(fields, &training, run)?;
    let clean = Clean::read(fields, &training, &timesteps, Limit::read(fields, true)?)?;
    let alphas = &training.alphas_cumprod;
    let last = if fields.bool("set_alpha_to_one", true)? { 1.0 } else { alphas[0] };
    let stride = training.len() / run.steps;
    let coefficients = |timestep: &usize| {
        let previous = timestep.checked_sub(stride).map_or(last, |previous| alphas[previous]);
        Coefficients::new(alphas[*timestep], previous, run.eta)
    };
    let steps = timesteps.iter().map(coefficients).collect();
    // noise is drawn at each step, also at the last, where it may weigh nothing
    let schedule = Schedule::preserving(&timesteps, alphas)
        .drawing(|_| (run.eta > 0.0).then_some(Draw::Normal));
    Ok((schedule, Box::new(Ddim { clean, steps })))
}

impl Coefficients {
    fn new(alpha: f32, alpha_previous: f32, eta: f32) -> Self {
        let (beta, beta_previous) = (1.0 - alpha, 1.0 - alpha_previous);
        let variance = (beta_previous / beta) * (1.0 - alpha / alpha_previous);
        let noise = eta * variance.max(0.0).sqrt();
        Self {
            root_alpha_previous: alpha_previous.sqrt(),
            direction: (beta_previous - noise * noise).max(0.0).sqrt(),
            noise,
        }
    }
}

impl Rule for Ddim {
    fn step(&self, mut step: Step<'_>, memory: &mut Memory) {
        let clean = self.clean.predict(&step, &mut memory.scratch);
        let (at, mixture) = (&self.steps[step.call], step.mixture());
        for ((x, output), clean) in step.sample.iter_mut().zip(step.output).zip(clean) {
            let epsilon = self.clean.noise(mixture, *output, *x);
            *x = at.root_alpha_previous * clean + at.direction * epsilon;
        }
        step.add_noise(at.noise);
    }
}
