//! Consistency models' multistep sampling: jump to the clean sample, then noise it to the next
//! level (Song et al. 2023, algorithm 1).

use crate::noise::Draw;
use crate::schedulers::about::{About, Kind};
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::{given_timesteps, karras, multiples};
use crate::schedulers::rules::{Memory, Rule, Step};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::{InputScale, Schedule};

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "CMStochasticIterativeScheduler",
        kind: Kind::Consistency,
        keys: &[
            &["num_train_timesteps", "sigma_min", "sigma_max", "sigma_data", "s_noise", "rho"],
            &["clip_denoised"],
        ],
        takes: &["timesteps"],
        train_timesteps: 40,
    },
    build,
};

#[derive(Debug)]
struct Consistency {
    min: f32,
    min_squared: f32,
    max: f32,
    data: f32,
    data_squared: f32,
    noise_scale: f32,
    clip: bool,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let train = fields.train_timesteps(2)?;
    let indices = match &run.timesteps {
        Some(given) => given_timesteps(given, train)?.iter().map(|t| *t as f64).collect(),
        None => {
            run.check_steps(train)?;
            multiples(train / run.steps, run.steps, 0)
        }
    };
    let min = fields.positive("sigma_min", 0.002)?;
    let max = fields.positive("sigma_max", 80.0)?;
    let rho = fields.positive("rho", 7.0)?;
    let data = fields.positive("sigma_data", 0.5)?;
    // the indices count up from the noisiest level
    let ramp = indices.iter().rev().map(|index| index / (train - 1) as f64);
    let levels: Vec<f64> = ramp.map(|ramp| karras(min, max, rho, ramp)).collect();
    let timesteps = levels.iter().map(|sigma| (250.0 * (sigma + 1e-44).ln()) as f32).collect();
    let sigmas: Vec<f32> = levels.iter().chain([&min]).map(|sigma| *sigma as f32).collect();
    let rule = Consistency {
        min: min as f32,
        min_squared: (min * min) as f32,
        max: max as f32,
        data: data as f32,
        data_squared: (data * data) as f32,
        noise_scale: fields.finite("s_noise", 1.0)? as f32,
        clip: fields.bool("clip_denoised", true)?,
    };
    let deviations = sigmas.iter().map(|sigma| rule.deviation(*sigma)).collect();
    let schedule = Schedule {
        init_noise_sigma: rule.max,
        input: InputScale::DividedBy(deviations),
        ..Schedule::exploding(timesteps, sigmas)
    };
    let draws = levels.len() > 1;
    Ok((schedule.drawing(|_| draws.then_some(Draw::Normal)), Box::new(rule)))
}

impl Consistency {
    /// √(σ² + σ_data²).
    fn deviation(&self, sigma: f32) -> f32 {
        (sigma * sigma + self.data_squared).sqrt()
    }
}

impl Rule for Consistency {
    fn step(&self, mut step: Step<'_>, _: &mut Memory) {
        let (sigma, next) = step.sigmas();
        // at the least level the sample is clean already (the paper's appendix C)
        let above = sigma - self.min;
        let skip = self.data_squared / (above * above + self.data_squared);
        let out = above * self.data / self.deviation(sigma);
        step.map(|x, output| {
            let clean = out * output + skip * x;
            if self.clip { clean.clamp(-1.0, 1.0) } else { clean }
        });
        let level = next.max(self.min).min(self.max);
        let weight = (level * level - self.min_squared).max(0.0).sqrt();
        if let Some(noise) = step.noise {
            let scaled = noise.iter().map(|noise| noise * self.noise_scale * weight);
            step.sample.iter_mut().zip(scaled).for_each(|(x, noise)| *x += noise);
        }
    }
}
