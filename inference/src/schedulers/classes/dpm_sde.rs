//! DPM-Solver++ for the SDE: the midpoint method with fresh noise after each of its two calls, from
//! one Brownian motion over noise levels (Katherine Crowson's k-diffusion, after Lu et al. 2022).

use crate::noise::{Draw, Stretch};
use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{
    Defaults, Habits, KLevels, Training, k_schedule, sigma_to_timestep, twice, unit_variance,
};
use crate::schedulers::rules::{Memory, Prediction, Rule, Step, ancestral_split, descend};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "DPMSolverSDEScheduler",
        keys: &[
            keys::TRAINING,
            &["prediction_type"],
            keys::CURVES,
            &["noise_sampler_seed"],
            keys::SPACING,
        ],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct DpmSde {
    prediction: Prediction,
    /// One for each call; none for the last, which goes to 0.
    ways: Vec<Option<Way>>,
}

/// One call's way from a level to another.
#[derive(Debug)]
struct Way {
    /// The level that the model is asked at.
    at: f32,
    /// −ln σ where the step begins.
    t: f32,
    from: f32,
    to: f32,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::NARROW)?;
    let habits = Habits { own_range_karras: true, double: true, ..Habits::default() };
    let levels = KLevels::read(fields, &training, run, &habits)?;
    let steps = levels.levels_to(0.0);
    let mut timesteps = twice(&levels.timesteps, true);
    let middles = timesteps.iter_mut().skip(1).step_by(2);
    for (timestep, pair) in middles.zip(levels.sigmas.windows(2)) {
        let (from, to) = (-pair[0].ln(), -pair[1].ln());
        let middle = (-(from + (to - from) * 0.5)).exp();
        *timestep = sigma_to_timestep(middle, &levels.logs);
    }
    let seed = match fields.given("noise_sampler_seed") {
        None => None,
        Some(value) => Some(value.as_u64().ok_or_else(|| {
            Error::invalid("noise_sampler_seed", value, "a whole number from 0 up, or null")
        })?),
    };
    // the Brownian motion runs from the least level above 0 to the greatest one
    let above = steps.iter().copied().filter(|sigma| *sigma > 0.0);
    let (least, most) =
        above.fold((f32::INFINITY, 0.0_f32), |(min, max), sigma| (min.min(sigma), max.max(sigma)));
    let sigmas = twice(&steps, false);
    let ways: Vec<_> = (0..timesteps.len()).map(|call| Way::of(&sigmas, call)).collect();
    let asked =
        ways.iter().zip(&sigmas).map(|(way, sigma)| way.as_ref().map_or(*sigma, |way| way.at));
    let timesteps = timesteps.iter().map(|timestep| *timestep as f32).collect();
    let schedule = Schedule {
        order: 2,
        input: unit_variance(asked),
        ..k_schedule(timesteps, sigmas.clone(), levels.spacing)
    };
    let schedule = schedule.drawing(|call| {
        let Way { from, to, .. } = *ways[call].as_ref()?;
        Some(Draw::Brownian(Stretch { least, most, from, to, seed }))
    });
    let prediction = Prediction::read_noise_or_velocity(fields)?;
    Ok((schedule, Box::new(DpmSde { prediction, ways })))
}

impl Way {
    /// Levels go through ln σ and back, as in diffusers: the Brownian motion is asked at what comes
    /// out.
    fn of(sigmas: &[f32], call: usize) -> Option<Self> {
        let first = call.is_multiple_of(2);
        let begin = if first { call } else { call - 1 };
        let (sigma, next) = (sigmas[begin], sigmas[begin + 1]);
        if next == 0.0 {
            return None;
        }
        let (t, t_next) = (-sigma.ln(), -next.ln());
        let middle = (-(t + (t_next - t) * 0.5)).exp();
        let (at, to) = if first { (sigma, middle) } else { (middle, (-t_next).exp()) };
        Some(Self { at, t, from: (-t).exp(), to })
    }
}

impl Rule for DpmSde {
    fn step(&self, mut step: Step<'_>, memory: &mut Memory) {
        let Some(Way { at, t, from, to }) = self.ways[step.call] else {
            let (sigma, _) = step.sigmas();
            descend(self.prediction, sigma, -sigma, &mut step);
            return;
        };
        let state = &mut memory.state;
        if step.begins() {
            state.begin(step.sample);
        }
        let (down, up) = ancestral_split(from, to);
        let up = up.min(to);
        let t_down = -down.ln();
        let (keep, along) = ((-t_down).exp() / from, (t - t_down).exp_m1());
        step.map(|x, output| along * self.prediction.denoised(at, output, x));
        for (x, start) in step.sample.iter_mut().zip(&state.start) {
            *x = keep * start - *x;
        }
        step.add_noise(up);
    }
}
