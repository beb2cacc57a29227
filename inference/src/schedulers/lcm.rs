//! Latent consistency models' multistep sampling: jump to the clean sample, then noise it to the
//! next timestep (Luo et al. 2023, algorithm 3).

use super::betas::{Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::names::About;
use super::prediction::Prediction;
use super::sigmas::given_timesteps;
use super::threshold::Limit;
use super::{Run, Scheduler, mix};
use crate::noise::Draw;

pub(super) const ABOUT: About = About { name: "LCMScheduler", keys: KEYS, takes: TAKES };

/// The keys of LCM and TCD, which differ in their rule alone.
pub(super) const KEYS: &[&str] = &[
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "original_inference_steps",
    "clip_sample",
    "clip_sample_range",
    "set_alpha_to_one",
    "steps_offset",
    "prediction_type",
    "thresholding",
    "dynamic_thresholding_ratio",
    "sample_max_value",
    "timestep_spacing",
    "timestep_scaling",
    "rescale_betas_zero_snr",
];
pub(super) const TAKES: &[&str] = &["timesteps", "original_inference_steps", "strength"];

/// The deviation of the data that the boundary condition is written for.
const DATA: f32 = 0.5;

pub(super) struct Lcm {
    timesteps: Vec<f32>,
    steps: Vec<Jump>,
    /// The call that adds no noise. In a given list cut by strength, none.
    noiseless: usize,
    prediction: Prediction,
    limit: Limit,
    /// The predicted clean sample.
    clean: Vec<f32>,
}

/// One step's numbers.
struct Jump {
    root_alpha: f32,
    root_beta: f32,
    /// √ᾱ and √(1 − ᾱ) at the timestep it goes to.
    next_root_alpha: f32,
    next_root_beta: f32,
    /// The boundary condition: at timestep 0 the sample is clean already.
    skip: f32,
    out: f32,
}

impl Lcm {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::LATENT)?;
        let prediction = fields.choice("prediction_type", "epsilon", &Prediction::ALL)?;
        let Distilled { timesteps, steps } = Distilled::read(fields, &training, run, false)?;
        let alphas = &training.alphas_cumprod;
        let limit = Limit::read(fields, false)?;
        prediction.check_signal(
            fields,
            &limit,
            timesteps.iter().map(|timestep| alphas[*timestep]),
        )?;
        let scaling = fields.finite("timestep_scaling", 10.0)? as f32;
        let last = timesteps.last().copied().into_iter();
        let nexts = timesteps.iter().copied().skip(1).chain(last);
        let jump = |(from, to): (&usize, usize)| {
            let scaled = *from as f32 * scaling;
            let variance = scaled * scaled + DATA * DATA;
            Jump {
                root_alpha: alphas[*from].sqrt(),
                root_beta: (1.0 - alphas[*from]).sqrt(),
                next_root_alpha: alphas[to].sqrt(),
                next_root_beta: (1.0 - alphas[to]).sqrt(),
                skip: DATA * DATA / variance,
                out: scaled / variance.sqrt(),
            }
        };
        Ok(Self {
            steps: timesteps.iter().zip(nexts).map(jump).collect(),
            timesteps: timesteps.iter().map(|timestep| *timestep as f32).collect(),
            noiseless: steps - 1,
            prediction,
            limit,
            clean: Vec::new(),
        })
    }
}

impl Scheduler for Lcm {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Jump { root_alpha, root_beta, .. } = self.steps[step];
        mix(root_alpha, original, root_beta, noise, noisy);
    }

    fn step_noise(&self, step: usize) -> Option<Draw> {
        (step != self.noiseless).then_some(Draw::Normal)
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let (at, prediction) = (&self.steps[step], self.prediction);
        self.clean.clear();
        let clean =
            |(x, output): (&f32, &f32)| prediction.clean(at.root_alpha, at.root_beta, *output, *x);
        self.clean.extend(sample.iter().zip(model_output).map(clean));
        self.limit.apply(&mut self.clean);
        for (x, clean) in sample.iter_mut().zip(&self.clean) {
            *x = at.out * clean + at.skip * *x;
        }
        if let Some(noise) = noise.filter(|_| step != self.noiseless) {
            for (x, noise) in sample.iter_mut().zip(noise) {
                *x = at.next_root_alpha * *x + at.next_root_beta * noise;
            }
        }
    }
}

/// Timesteps out of the schedule that a model was distilled on.
pub(super) struct Distilled {
    pub(super) timesteps: Vec<usize>,
    /// How many steps the whole run has, before strength cuts a given list.
    pub(super) steps: usize,
}

impl Distilled {
    /// Reads the schedule; `dense`: given `original_inference_steps` mean every timestep, as in
    /// TCD.
    pub(super) fn read(
        fields: &Fields<'_>,
        training: &Training,
        run: &Run,
        dense: bool,
    ) -> Result<Self, Error> {
        let train = training.len();
        let original = match run.original_inference_steps {
            Some(given) => given,
            None => fields.integer("original_inference_steps", 50, 1..=train)?,
        };
        let dense = dense && run.original_inference_steps.is_some();
        if original == 0 || original > train && !dense {
            let expected = format!("a whole number from 1 to {train}, num_train_timesteps");
            return Err(Error::invalid("original_inference_steps", original, expected));
        }
        if let Some(given) = &run.timesteps {
            let mut timesteps = given_timesteps(given, train)?;
            let steps = timesteps.len();
            let taken = (steps as f64 * run.strength) as usize;
            timesteps.drain(..steps - taken);
            if timesteps.is_empty() {
                return Err(too_weak(run));
            }
            return Ok(Self { timesteps, steps });
        }
        let distilled: Vec<usize> = if dense {
            (0..(train as f64 * run.strength) as usize).rev().collect()
        } else {
            let count = (original as f64 * run.strength) as usize;
            (1..=count).rev().map(|step| step * (train / original) - 1).collect()
        };
        let steps = run.steps;
        if !(1..=original.min(distilled.len())).contains(&steps) {
            let expected = format!(
                "a whole number from 1 to {}: original_inference_steps times strength",
                original.min(distilled.len())
            );
            return Err(Error::invalid("num_inference_steps", steps, expected));
        }
        // even over the schedule, without its end
        let spread = distilled.len() as f64 / steps as f64;
        let place = |index: usize| ((index as f64 * spread) as usize).min(distilled.len() - 1);
        Ok(Self { timesteps: (0..steps).map(|index| distilled[place(index)]).collect(), steps })
    }
}

fn too_weak(run: &Run) -> Error {
    Error::invalid("strength", run.strength, "a number that leaves a step of the list")
}
