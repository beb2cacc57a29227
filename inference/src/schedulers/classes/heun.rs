//! Heun's second-order method (Karras et al. 2022, algorithm 1): an Euler step, then the same step
//! along the mean of the slopes at both its ends. Two calls a step, but for the last.

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Defaults, Habits, KLevels, Training, k_schedule, twice};
use crate::schedulers::rules::{Memory, Prediction, Rule, Step, heun_call};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "HeunDiscreteScheduler",
        keys: &[
            keys::TRAINING,
            &["prediction_type"],
            keys::CURVES,
            &["clip_sample", "clip_sample_range"],
            keys::SPACING,
        ],
        takes: &["timesteps"],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct Heun {
    prediction: Prediction,
    clip: Option<f32>,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::HEUN)?;
    let levels = KLevels::read(fields, &training, run, &Habits::default())?;
    let range = fields.positive("clip_sample_range", 1.0)? as f32;
    let rule = Heun {
        prediction: fields.choice("prediction_type", "epsilon", &Prediction::ALL)?,
        clip: fields.bool("clip_sample", false)?.then_some(range),
    };
    let timesteps = twice(&levels.timesteps_f32(), true);
    let sigmas = twice(&levels.levels_to(0.0), false);
    let schedule = Schedule { order: 2, ..k_schedule(timesteps, sigmas, levels.spacing) };
    Ok((schedule, Box::new(rule)))
}

impl Rule for Heun {
    fn step(&self, step: Step<'_>, memory: &mut Memory) {
        let (here, _) = step.sigmas();
        heun_call(step, &mut memory.state, |x, output| {
            let clean = self.prediction.denoised(here, output, x);
            let clean = self.clip.map_or(clean, |range| clean.max(-range).min(range));
            (x - clean) / here
        });
    }
}
