//! DDPM: ancestral sampling of the posterior (Ho et al. 2020, algorithm 2), with variances fixed or
//! predicted by the model (Nichol & Dhariwal 2021, section 3.1).

use crate::noise::Draw;
use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Defaults, Training, whole_timesteps};
use crate::schedulers::rules::{Clean, Limit, Memory, Rule, Step};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "DDPMScheduler",
        keys: &[
            keys::TRAINING,
            &["variance_type", "clip_sample"],
            keys::LIMITS,
            keys::SPACING,
            &["rescale_betas_zero_snr"],
        ],
        takes: &["timesteps"],
        ..About::USUAL
    },
    build,
};

/// Keeps logarithms of the variance finite.
const LEAST_VARIANCE: f32 = 1e-20;

#[derive(Debug)]
struct Ddpm {
    clean: Clean,
    steps: Vec<Posterior>,
    variance: Variance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug)]
struct Posterior {
    clean_weight: f32,
    sample_weight: f32,
    /// The posterior's variance, and the step's β.
    variance: f32,
    beta: f32,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    let training = Training::read(fields, &Defaults::DDPM)?;
    let timesteps = whole_timesteps(fields, &training, run)?;
    let clean = Clean::read(fields, &training, &timesteps, Limit::read(fields, true)?)?;
    let alphas = &training.alphas_cumprod;
    let ends = timesteps.iter().skip(1).map(|timestep| alphas[*timestep]).chain([1.0]);
    let posterior = |(from, to): (&usize, f32)| Posterior::new(alphas[*from], to);
    let steps = timesteps.iter().zip(ends).map(posterior).collect();
    let variance = Variance::read(fields)?;
    let schedule = Schedule {
        takes_variance: variance.is_learned(),
        ..Schedule::preserving(&timesteps, alphas)
    };
    let schedule = schedule.drawing(|call| (timesteps[call] > 0).then_some(Draw::Normal));
    Ok((schedule, Box::new(Ddpm { clean, steps, variance })))
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

impl Rule for Ddpm {
    fn step(&self, mut step: Step<'_>, memory: &mut Memory) {
        let (at, kind) = (&self.steps[step.call], self.variance);
        let clean = self.clean.predict(&step, &mut memory.scratch);
        for (x, clean) in step.sample.iter_mut().zip(clean) {
            *x = at.clean_weight * clean + at.sample_weight * *x;
        }
        if !kind.is_learned() {
            step.add_noise(at.deviation(kind, 0.0));
            return;
        }
        let variances = step.output.get(step.sample.len()..).unwrap_or_default();
        debug_assert!(variances.len() == step.sample.len(), "no variances");
        let Some(noise) = step.noise else { return };
        for ((x, noise), learned) in step.sample.iter_mut().zip(noise).zip(variances) {
            *x += at.deviation(kind, *learned) * noise;
        }
    }
}
