//! Heun's second-order method along the velocity of a flow: an Euler step, then the same step along
//! the mean of the velocities at both its ends. Two calls a step, but for the last.

use crate::schedulers::about::{About, Kind};
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::{Shift, even_levels, twice};
use crate::schedulers::rules::{Memory, Rule, Step, heun_call};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "FlowMatchHeunDiscreteScheduler",
        kind: Kind::Flow,
        keys: &[&["num_train_timesteps", "shift"]],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct FlowHeun;

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let train = fields.train_timesteps(1)?;
    let shift = Shift(fields.positive("shift", 1.0)?);
    let levels = even_levels(train, run, shift)?;
    let mut sigmas: Vec<f32> = levels.iter().map(|sigma| shift.apply(*sigma) as f32).collect();
    let timesteps: Vec<f32> = sigmas.iter().map(|sigma| sigma * train as f32).collect();
    sigmas.push(0.0);
    let schedule = Schedule::flow(twice(&timesteps, true), twice(&sigmas, false));
    Ok((Schedule { order: 2, ..schedule }, Box::new(FlowHeun)))
}

impl Rule for FlowHeun {
    fn step(&self, step: Step<'_>, memory: &mut Memory) {
        let (here, _) = step.sigmas();
        // by way of the clean sample, as diffusers computes it
        heun_call(step, &mut memory.state, |x, output| (x - (x - output * here)) / here);
    }
}
