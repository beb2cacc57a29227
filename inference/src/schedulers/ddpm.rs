//! DDPM: ancestral sampling of the posterior (Ho et al. 2020, algorithm 2), with variances fixed or
//! predicted by the model (Nichol & Dhariwal 2021, section 3.1).

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
    name: "DDPMScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "variance_type",
        "clip_sample",
        "prediction_type",
        "thresholding",
        "dynamic_thresholding_ratio",
        "clip_sample_range",
        "sample_max_value",
        "timestep_spacing",
        "steps_offset",
        "rescale_betas_zero_snr",
    ],
    takes: &["timesteps"],
};

/// Keeps logarithms of the variance finite.
const LEAST_VARIANCE: f32 = 1e-20;

pub(super) struct Ddpm {
    timesteps: Vec<f32>,
    steps: Vec<Posterior>,
    prediction: Prediction,
    variance: Variance,
    limit: Limit,
    /// The predicted clean sample.
    clean: Vec<f32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variance {
    /// The posterior's own.
    Small,
    /// The same by way of its logarithm.
    SmallLog,
    /// The step's β.
    Large,
    /// The model's output.
    Learned,
    /// Between small and large, by the model's output.
    LearnedRange,
}

/// The posterior's numbers at one step; x₀ is the predicted clean sample.
struct Posterior {
    root_alpha: f32,
    root_beta: f32,
    clean_weight: f32,
    sample_weight: f32,
    /// The posterior's variance, and the step's β.
    variance: f32,
    beta: f32,
}

impl Ddpm {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::DDPM)?;
        let prediction = fields.choice("prediction_type", "epsilon", &Prediction::ALL)?;
        let timesteps = whole_timesteps(fields, &training, run)?;
        let alphas = &training.alphas_cumprod;
        let limit = Limit::read(fields, true)?;
        prediction.check_signal(
            fields,
            &limit,
            timesteps.iter().map(|timestep| alphas[*timestep]),
        )?;
        let ends = timesteps.iter().skip(1).map(|timestep| alphas[*timestep]).chain([1.0]);
        let posterior = |(from, to): (&usize, f32)| Posterior::new(alphas[*from], to);
        Ok(Self {
            steps: timesteps.iter().zip(ends).map(posterior).collect(),
            timesteps: timesteps.iter().map(|timestep| *timestep as f32).collect(),
            prediction,
            variance: Variance::read(fields)?,
            limit,
            clean: Vec::new(),
        })
    }
}

impl Variance {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        if fields.given("variance_type").is_none() {
            return Ok(Self::Small);
        }
        let choices = [
            ("fixed_small", Some(Self::Small)),
            ("fixed_small_log", Some(Self::SmallLog)),
            ("fixed_large", Some(Self::Large)),
            ("learned", Some(Self::Learned)),
            ("learned_range", Some(Self::LearnedRange)),
            ("fixed_large_log", None),
        ];
        fields.choice("variance_type", "fixed_small", &choices)?.ok_or_else(|| {
            let reason = "it would take the root of a negative logarithm; take fixed_large";
            fields.rejected("variance_type", "fixed_large_log", reason)
        })
    }

    fn is_learned(self) -> bool {
        matches!(self, Self::Learned | Self::LearnedRange)
    }
}

impl Posterior {
    fn new(alpha: f32, alpha_previous: f32) -> Self {
        let (beta, beta_previous) = (1.0 - alpha, 1.0 - alpha_previous);
        let step_alpha = alpha / alpha_previous;
        let step_beta = 1.0 - step_alpha;
        Self {
            root_alpha: alpha.sqrt(),
            root_beta: beta.sqrt(),
            clean_weight: alpha_previous.sqrt() * step_beta / beta,
            sample_weight: step_alpha.sqrt() * beta_previous / beta,
            variance: (beta_previous / beta * step_beta).max(LEAST_VARIANCE),
            beta: step_beta,
        }
    }

    /// The noise's standard deviation, where `learned` is the model's output for it.
    fn deviation(&self, kind: Variance, learned: f32) -> f32 {
        match kind {
            Variance::Small => self.variance.sqrt(),
            Variance::SmallLog => (0.5 * self.variance.ln()).exp(),
            Variance::Large => self.beta.sqrt(),
            Variance::Learned => learned.sqrt(),
            Variance::LearnedRange => {
                let share = (learned + 1.0) / 2.0;
                let log = share * self.beta.ln() + (1.0 - share) * self.variance.ln();
                (0.5 * log).exp()
            }
        }
    }
}

impl Scheduler for Ddpm {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn takes_variance(&self) -> bool {
        self.variance.is_learned()
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Posterior { root_alpha, root_beta, .. } = self.steps[step];
        mix(root_alpha, original, root_beta, noise, noisy);
    }

    /// None at timestep 0.
    fn step_noise(&self, step: usize) -> Option<Draw> {
        (self.timesteps[step] > 0.0).then_some(Draw::Normal)
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let (at, kind, prediction) = (&self.steps[step], self.variance, self.prediction);
        let (outputs, variances) = model_output.split_at(sample.len().min(model_output.len()));
        debug_assert!(!kind.is_learned() || variances.len() == sample.len(), "no variances");
        self.clean.clear();
        let clean =
            |(x, output): (&f32, &f32)| prediction.clean(at.root_alpha, at.root_beta, *output, *x);
        self.clean.extend(sample.iter().zip(outputs).map(clean));
        self.limit.apply(&mut self.clean);
        for (x, clean) in sample.iter_mut().zip(&self.clean) {
            *x = at.clean_weight * clean + at.sample_weight * *x;
        }
        let Some(noise) = noise.filter(|_| self.timesteps[step] > 0.0) else { return };
        if kind.is_learned() {
            for ((x, noise), learned) in sample.iter_mut().zip(noise).zip(variances) {
                *x += at.deviation(kind, *learned) * noise;
            }
        } else {
            let deviation = at.deviation(kind, 0.0);
            sample.iter_mut().zip(noise).for_each(|(x, noise)| *x += deviation * noise);
        }
    }
}
