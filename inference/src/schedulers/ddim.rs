//! DDIM: deterministic, or with η as noisy as DDPM (Song et al. 2020, equations 12 and 16).

use super::betas::{Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::names::About;
use super::prediction::Prediction;
use super::sigmas::whole_timesteps;
use super::threshold::Limit;
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About {
    name: "DDIMScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "clip_sample",
        "set_alpha_to_one",
        "steps_offset",
        "prediction_type",
        "thresholding",
        "dynamic_thresholding_ratio",
        "clip_sample_range",
        "sample_max_value",
        "timestep_spacing",
        "rescale_betas_zero_snr",
    ],
    takes: &[],
};

pub(super) struct Ddim {
    timesteps: Vec<f32>,
    steps: Vec<Coefficients>,
    prediction: Prediction,
    limit: Limit,
    /// Whether η > 0: noise is drawn at each step, also at the last, where it may weigh nothing.
    noisy: bool,
    /// The predicted clean sample.
    clean: Vec<f32>,
}

/// The factors of one step; `x` is the sample, `x0` the predicted clean one.
struct Coefficients {
    /// √ᾱ and √(1 − ᾱ) at the step's timestep.
    root_alpha: f32,
    root_beta: f32,
    /// √ᾱ of the timestep it goes to, the factor of x0.
    root_alpha_previous: f32,
    /// The factor of the predicted noise.
    direction: f32,
    /// The standard deviation σ of the added noise.
    noise: f32,
}

impl Ddim {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?;
        let prediction = fields.choice("prediction_type", "epsilon", &Prediction::ALL)?;
        let timesteps = whole_timesteps(fields, &training, run)?;
        let alphas = &training.alphas_cumprod;
        let limit = Limit::read(fields, true)?;
        prediction.check_signal(
            fields,
            &limit,
            timesteps.iter().map(|timestep| alphas[*timestep]),
        )?;
        let last = if fields.bool("set_alpha_to_one", true)? { 1.0 } else { alphas[0] };
        let stride = training.len() / run.steps;
        let coefficients = |timestep: &usize| {
            let previous = timestep.checked_sub(stride).map_or(last, |previous| alphas[previous]);
            Coefficients::new(alphas[*timestep], previous, run.eta)
        };
        Ok(Self {
            steps: timesteps.iter().map(coefficients).collect(),
            timesteps: timesteps.iter().map(|timestep| *timestep as f32).collect(),
            prediction,
            limit,
            noisy: run.eta > 0.0,
            clean: Vec::new(),
        })
    }

    /// Predicts the clean sample into `self.clean`, within its limits.
    fn predict(&mut self, step: usize, model_output: &[f32], sample: &[f32]) {
        let Coefficients { root_alpha, root_beta, .. } = self.steps[step];
        let prediction = self.prediction;
        self.clean.clear();
        let clean =
            |(x, output): (&f32, &f32)| prediction.clean(root_alpha, root_beta, *output, *x);
        self.clean.extend(sample.iter().zip(model_output).map(clean));
        self.limit.apply(&mut self.clean);
    }
}

impl Coefficients {
    fn new(alpha: f32, alpha_previous: f32, eta: f32) -> Self {
        let (beta, beta_previous) = (1.0 - alpha, 1.0 - alpha_previous);
        let variance = (beta_previous / beta) * (1.0 - alpha / alpha_previous);
        let noise = eta * variance.max(0.0).sqrt();
        Self {
            root_alpha: alpha.sqrt(),
            root_beta: beta.sqrt(),
            root_alpha_previous: alpha_previous.sqrt(),
            direction: (beta_previous - noise * noise).max(0.0).sqrt(),
            noise,
        }
    }
}

impl Scheduler for Ddim {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Coefficients { root_alpha, root_beta, .. } = self.steps[step];
        mix(root_alpha, original, root_beta, noise, noisy);
    }

    fn step_noise(&self, _step: usize) -> Option<Draw> {
        self.noisy.then_some(Draw::Normal)
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        debug_assert!(noise.is_some() || !self.noisy, "with eta above 0 a step needs its noise");
        self.predict(step, model_output, sample);
        let at = &self.steps[step];
        for ((x, output), clean) in sample.iter_mut().zip(model_output).zip(&self.clean) {
            let epsilon = self.prediction.noise(at.root_alpha, at.root_beta, *output, *x);
            *x = at.root_alpha_previous * clean + at.direction * epsilon;
        }
        if let Some(noise) = noise.filter(|_| self.noisy) {
            for (x, noise) in sample.iter_mut().zip(noise) {
                *x += at.noise * noise;
            }
        }
    }
}
