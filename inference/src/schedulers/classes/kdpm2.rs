//! DPM2: the midpoint method between noise levels, in ln σ (Karras et al. 2022, algorithm 2 as
//! Katherine Crowson wrote it). Two calls a step, but for the last.

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::{MIDPOINT_KEYS, Midpoints};
use crate::schedulers::rules::{Memory, Prediction, Rule, Step, midpoint_call};
use crate::schedulers::run::Run;

pub(crate) const CLASS: Class = Class {
    about: About { name: "KDPM2DiscreteScheduler", keys: MIDPOINT_KEYS, ..About::USUAL },
    build,
};

#[derive(Debug)]
struct Kdpm2 {
    levels: Midpoints,
    prediction: Prediction,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let (schedule, levels) = Midpoints::read(fields, run, geometric_mean)?;
    let prediction = Prediction::read_noise_or_velocity(fields)?;
    Ok((schedule, Box::new(Kdpm2 { levels, prediction })))
}

impl Rule for Kdpm2 {
    fn step(&self, mut step: Step<'_>, memory: &mut Memory) {
        let Midpoints { steps, middles } = &self.levels;
        let number = step.call / 2;
        let to = if step.begins() { middles[number] } else { steps[number + 1] };
        let (at, change) = (self.levels.at(step.call), to - steps[number]);
        midpoint_call(self.prediction, at, change, &mut step, &mut memory.state);
    }
}

/// √(from · to), by way of logarithms; 0 where `to` is.
fn geometric_mean(from: f32, to: f32) -> f32 {
    let (from, to) = (from.ln(), to.ln());
    (from - (from - to) * 0.5).exp()
}
