//! Consistency models' multistep sampling: jump to the clean sample, then noise it to the next
//! level (Song et al. 2023, algorithm 1).

use super::error::Error;
use super::fields::Fields;
use super::names::About;
use super::sigmas::{given_timesteps, karras, multiples};
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About {
    name: "CMStochasticIterativeScheduler",
    keys: &[
        "num_train_timesteps",
        "sigma_min",
        "sigma_max",
        "sigma_data",
        "s_noise",
        "rho",
        "clip_denoised",
    ],
    takes: &["timesteps"],
};

pub(super) struct Consistency {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    min: f32,
    min_squared: f32,
    max: f32,
    data: f32,
    data_squared: f32,
    noise_scale: f32,
    clip: bool,
}

impl Consistency {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let train = fields.integer("num_train_timesteps", 40, 2..=100_000)?;
        let indices = match &run.timesteps {
            Some(given) => given_timesteps(given, train)?.iter().map(|t| *t as f64).collect(),
            None if (1..=train).contains(&run.steps) => multiples(train / run.steps, run.steps, 0),
            None => {
                let expected = format!("a whole number from 1 to {train}, num_train_timesteps");
                return Err(Error::invalid("num_inference_steps", run.steps, expected));
            }
        };
        let min = fields.positive("sigma_min", 0.002)?;
        let max = fields.positive("sigma_max", 80.0)?;
        let rho = fields.positive("rho", 7.0)?;
        let data = fields.positive("sigma_data", 0.5)?;
        // the indices count up from the noisiest level
        let ramp = indices.iter().rev().map(|index| index / (train - 1) as f64);
        let levels: Vec<f64> = ramp.map(|ramp| karras(min, max, rho, ramp)).collect();
        Ok(Self {
            timesteps: levels.iter().map(|sigma| (250.0 * (sigma + 1e-44).ln()) as f32).collect(),
            sigmas: levels.iter().chain([&min]).map(|sigma| *sigma as f32).collect(),
            min: min as f32,
            min_squared: (min * min) as f32,
            max: max as f32,
            data: data as f32,
            data_squared: (data * data) as f32,
            noise_scale: fields.finite("s_noise", 1.0)? as f32,
            clip: fields.bool("clip_denoised", true)?,
        })
    }
}

impl Scheduler for Consistency {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn init_noise_sigma(&self) -> f32 {
        self.max
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        mix(1.0, original, self.sigmas[step], noise, noisy);
    }

    fn step_noise(&self, _step: usize) -> Option<Draw> {
        (self.timesteps.len() > 1).then_some(Draw::Normal)
    }

    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]) {
        let sigma = self.sigmas[step];
        let deviation = (sigma * sigma + self.data_squared).sqrt();
        scaled.iter_mut().zip(sample).for_each(|(scaled, x)| *scaled = x / deviation);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let (sigma, next) = (self.sigmas[step], self.sigmas[step + 1]);
        // at the least level the sample is clean already (the paper's appendix C)
        let above = sigma - self.min;
        let skip = self.data_squared / (above * above + self.data_squared);
        let out = above * self.data / (sigma * sigma + self.data_squared).sqrt();
        for (x, output) in sample.iter_mut().zip(model_output) {
            let clean = out * output + skip * *x;
            *x = if self.clip { clean.clamp(-1.0, 1.0) } else { clean };
        }
        let level = next.max(self.min).min(self.max);
        let weight = (level * level - self.min_squared).max(0.0).sqrt();
        if let Some(noise) = noise.filter(|_| self.timesteps.len() > 1) {
            let scale = self.noise_scale;
            sample.iter_mut().zip(noise).for_each(|(x, noise)| *x += noise * scale * weight);
        }
    }
}
