//! DPM2 with ancestral noise: the midpoint method down to a level below the target, then fresh
//! noise up to it.

use crate::noise::Draw;
use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::{MIDPOINT_KEYS, Midpoints};
use crate::schedulers::rules::{Memory, Prediction, Rule, Step, ancestral_split, midpoint_call};
use crate::schedulers::run::Run;

pub(crate) const CLASS: Class = Class {
    about: About { name: "KDPM2AncestralDiscreteScheduler", keys: MIDPOINT_KEYS, ..About::USUAL },
    build,
};

#[derive(Debug)]
struct Kdpm2Ancestral {
    levels: Midpoints,
    prediction: Prediction,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let (schedule, levels) = Midpoints::read(fields, run, middle_of_descent)?;
    let prediction = Prediction::read_noise_or_velocity(fields)?;
    let schedule = schedule.drawing(|call| (call % 2 == 1).then_some(Draw::Normal));
    Ok((schedule, Box::new(Kdpm2Ancestral { levels, prediction })))
}

impl Rule for Kdpm2Ancestral {
    fn step(&self, mut step: Step<'_>, memory: &mut Memory) {
        let Midpoints { steps, middles } = &self.levels;
        let number = step.call / 2;
        let (down, up) = ancestral_split(steps[number], steps[number + 1]);
        let to = if step.begins() { middles[number] } else { down };
        let (at, change) = (self.levels.at(step.call), to - steps[number]);
        midpoint_call(self.prediction, at, change, &mut step, &mut memory.state);
        step.add_noise(up);
    }
}

/// The middle, in ln σ, of the way down to below the next level; 0 where that one is 0.
fn middle_of_descent(from: f32, next: f32) -> f32 {
    let (down, _) = ancestral_split(from, next);
    if down == 0.0 {
        return 0.0;
    }
    let (from, down) = (from.ln(), down.ln());
    (down - (down - from) * 0.5).exp()
}
