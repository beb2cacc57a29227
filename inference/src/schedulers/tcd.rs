//! Trajectory consistency models' sampling: jump below the next timestep, then noise up to it
//! (Zheng et al. 2024, arXiv 2402.19159, strategic stochastic sampling; γ is the run's η).

use super::betas::{Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::lcm::{Distilled, KEYS, TAKES};
use super::names::About;
use super::prediction::Prediction;
use super::threshold::Limit;
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About { name: "TCDScheduler", keys: KEYS, takes: TAKES };

pub(super) struct Tcd {
    timesteps: Vec<f32>,
    steps: Vec<Jump>,
    /// The call that adds no noise. In a given list cut by strength, none.
    noiseless: usize,
    noisy: bool,
    prediction: Prediction,
}

/// One step's numbers; s is the timestep below the next one that is jumped to.
struct Jump {
    root_alpha: f32,
    root_beta: f32,
    s_root_alpha: f32,
    s_root_beta: f32,
    /// √ of ᾱ at the next timestep over ᾱ at s, and of what is left.
    keep: f32,
    noise: f32,
}

impl Tcd {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::LATENT)?;
        let prediction = fields.choice("prediction_type", "epsilon", &Prediction::ALL)?;
        let Distilled { timesteps, steps } = Distilled::read(fields, &training, run, true)?;
        let alphas = &training.alphas_cumprod;
        prediction.check_signal(
            fields,
            &Limit::None,
            timesteps.iter().map(|timestep| alphas[*timestep]),
        )?;
        let jump = |(from, to): (&usize, usize)| {
            let s = ((1.0 - f64::from(run.eta)) as f32 * to as f32).floor() as usize;
            let ratio = alphas[to] / alphas[s];
            Jump {
                root_alpha: alphas[*from].sqrt(),
                root_beta: (1.0 - alphas[*from]).sqrt(),
                s_root_alpha: alphas[s].sqrt(),
                s_root_beta: (1.0 - alphas[s]).sqrt(),
                keep: ratio.sqrt(),
                noise: (1.0 - ratio).sqrt(),
            }
        };
        let nexts = timesteps.iter().copied().skip(1).chain([0]);
        Ok(Self {
            steps: timesteps.iter().zip(nexts).map(jump).collect(),
            timesteps: timesteps.iter().map(|timestep| *timestep as f32).collect(),
            noiseless: steps - 1,
            noisy: run.eta > 0.0,
            prediction,
        })
    }

    fn adds_noise(&self, step: usize) -> bool {
        self.noisy && step != self.noiseless
    }
}

impl Scheduler for Tcd {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Jump { root_alpha, root_beta, .. } = self.steps[step];
        mix(root_alpha, original, root_beta, noise, noisy);
    }

    fn step_noise(&self, step: usize) -> Option<Draw> {
        self.adds_noise(step).then_some(Draw::Normal)
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let at = &self.steps[step];
        for (x, output) in sample.iter_mut().zip(model_output) {
            let clean = self.prediction.clean(at.root_alpha, at.root_beta, *output, *x);
            let epsilon = self.prediction.noise(at.root_alpha, at.root_beta, *output, *x);
            *x = at.s_root_alpha * clean + at.s_root_beta * epsilon;
        }
        if let Some(noise) = noise.filter(|_| self.adds_noise(step)) {
            for (x, noise) in sample.iter_mut().zip(noise) {
                *x = at.keep * *x + at.noise * noise;
            }
        }
    }
}
