//! Euler's method along the velocity of a flow (Lipman et al. 2022), with levels shifted towards
//! noise for large images (Esser et al. 2024): Stable Diffusion 3 and Flux.

use crate::noise::Draw;
use crate::schedulers::about::{About, Kind};
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Curve, Shift, dynamic_shift, even_levels, stretch_to};
use crate::schedulers::rules::{Memory, Rule, Step};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::{Mixture, Schedule};

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "FlowMatchEulerDiscreteScheduler",
        kind: Kind::Flow,
        keys: &[
            &["num_train_timesteps", "shift", "use_dynamic_shifting", "base_shift", "max_shift"],
            &["base_image_seq_len", "max_image_seq_len", "invert_sigmas", "shift_terminal"],
            keys::CURVES,
            &["time_shift_type", "stochastic_sampling"],
        ],
        takes: &["timesteps", "sigmas", "mu"],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct FlowEuler;

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let train = fields.train_timesteps(1)?;
    let fixed = Shift(fields.positive("shift", 1.0)?);
    let dynamic = dynamic_shift(fields, run)?;
    let given = match (&run.timesteps, &run.sigmas) {
        (Some(timesteps), _) => Some(timesteps.iter().map(|t| t / train as f64).collect()),
        (None, given) => given.clone(),
    };
    let mut sigmas = match given {
        Some(sigmas) => sigmas,
        None => even_levels(train, run, if dynamic.is_some() { Shift(1.0) } else { fixed })?,
    };
    let shift = dynamic.unwrap_or(fixed);
    sigmas.iter_mut().for_each(|sigma| *sigma = shift.apply(*sigma));
    if let Some(end) = fields.optional_number("shift_terminal")?.filter(|end| *end != 0.0) {
        if !(0.0..1.0).contains(&end) {
            let expected = "a number from 0 to below 1, or null";
            return Err(Error::invalid("shift_terminal", end, expected));
        }
        stretch_to(end, &mut sigmas);
    }
    if let Some(curve) = Curve::read(fields)? {
        let (min, max) = Curve::range(fields, sigmas[sigmas.len() - 1], sigmas[0])?;
        sigmas = curve.levels(min, max, sigmas.len());
    }
    if sigmas.iter().any(|sigma| !sigma.is_finite()) {
        let reason = "the levels would not be finite; take more steps, or other levels";
        return Err(fields.rejected("num_inference_steps", sigmas.len(), reason));
    }
    let schedule = schedule(fields, &sigmas, train as f32, run)?;
    let stochastic = fields.bool("stochastic_sampling", false)?;
    let schedule = schedule.drawing(|_| stochastic.then_some(Draw::Normal));
    Ok((schedule, Box::new(FlowEuler)))
}

fn schedule(fields: &Fields<'_>, sigmas: &[f64], train: f32, run: &Run) -> Result<Schedule, Error> {
    let mut sigmas: Vec<f32> = sigmas.iter().map(|sigma| *sigma as f32).collect();
    let inverted = fields.bool("invert_sigmas", false)?;
    if inverted {
        sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - *sigma);
    }
    let timesteps = match &run.timesteps {
        Some(given) if !inverted => given.iter().map(|timestep| *timestep as f32).collect(),
        _ => sigmas.iter().map(|sigma| sigma * train).collect(),
    };
    sigmas.push(if inverted { 1.0 } else { 0.0 });
    Ok(Schedule::flow(timesteps, sigmas))
}

impl Rule for FlowEuler {
    fn step(&self, mut step: Step<'_>, _: &mut Memory) {
        let (sigma, next) = step.sigmas();
        if step.noise.is_some() {
            step.map(|x, output| x - sigma * output);
            step.blend_noise(Mixture { alpha: 1.0 - next, sigma: next });
            return;
        }
        let change = next - sigma;
        step.map(|x, output| x + change * output);
    }
}
