//! Linear multistep: Adams-Bashforth of order 4 over unevenly spaced noise levels (Katherine
//! Crowson's k-diffusion).

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Defaults, Habits, KLevels, Training, k_schedule};
use crate::schedulers::rules::{Memory, Prediction, Rule, Step};
use crate::schedulers::run::Run;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "LMSDiscreteScheduler",
        keys: &[keys::TRAINING, keys::CURVES, &["prediction_type"], keys::SPACING],
        ..About::USUAL
    },
    build,
};

/// Slopes that a step is made of.
const ORDER: usize = 4;

#[derive(Debug)]
struct Lms {
    prediction: Prediction,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::PLAIN)?;
    let habits = Habits { own_range_karras: true, ..Habits::default() };
    let levels = KLevels::read(fields, &training, run, &habits)?;
    let prediction = fields.choice("prediction_type", "epsilon", &Prediction::ALL)?;
    let schedule = k_schedule(levels.timesteps_f32(), levels.levels_to(0.0), levels.spacing);
    Ok((schedule, Box::new(Lms { prediction })))
}

/// The weight of the slope that is `back` steps old, in a step of `order`: the integral over
/// the step of the polynomial that is 1 there and 0 at the other slopes' levels.
fn weight(sigmas: &[f32], step: usize, order: usize, back: usize) -> f32 {
    let sigma = |index: usize| f64::from(sigmas[index]);
    let node = sigma(step - back);
    let polynomial = |at: f64| {
        let others = (0..order).filter(|other| *other != back).map(|other| sigma(step - other));
        others.map(|other| (at - other) / (node - other)).product::<f64>()
    };
    // Gauss-Legendre with two points is exact to the third degree
    let (middle, half) =
        ((sigma(step + 1) + sigma(step)) / 2.0, (sigma(step + 1) - sigma(step)) / 2.0);
    let offset = half / 3.0_f64.sqrt();
    (half * (polynomial(middle - offset) + polynomial(middle + offset))) as f32
}

impl Rule for Lms {
    fn step(&self, step: Step<'_>, memory: &mut Memory) {
        let Memory { state, scratch } = memory;
        let (sigma, _) = step.sigmas();
        let newest = state.remember(ORDER, step.sample.len());
        for (slope, (x, output)) in newest.iter_mut().zip(step.sample.iter().zip(step.output)) {
            *slope = self.prediction.slope(sigma, *output, *x);
        }
        let sum = &mut scratch.values;
        sum.clear();
        sum.resize(step.sample.len(), 0.0);
        // As diffusers: in a run that starts late the weights are the full order's from the first
        // step on, and the slopes that are missing count as 0.
        let order = ORDER.min(step.call + 1);
        for (back, slopes) in state.history.iter().enumerate().take(order) {
            let weight = weight(&step.schedule.sigmas, step.call, order, back);
            sum.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += weight * slope);
        }
        step.sample.iter_mut().zip(sum).for_each(|(x, sum)| *x += *sum);
    }
}
