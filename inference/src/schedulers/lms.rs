//! Linear multistep: Adams-Bashforth of order 4 over unevenly spaced noise levels (Katherine
//! Crowson's k-diffusion).

use super::betas::{Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::k_schedule::{Habits, KSchedule, init_noise_sigma, scale_to_unit_variance};
use super::names::About;
use super::prediction::Prediction;
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About {
    name: "LMSDiscreteScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "prediction_type",
        "timestep_spacing",
        "steps_offset",
    ],
    takes: &[],
};

/// Slopes that a step is made of.
const ORDER: usize = 4;

pub(super) struct Lms {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    prediction: Prediction,
    init_noise_sigma: f32,
    /// Slopes of past steps, newest first; `kept` of them are filled.
    slopes: [Vec<f32>; ORDER],
    kept: usize,
    sum: Vec<f32>,
}

impl Lms {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?;
        let habits = Habits { own_range_karras: true, ..Habits::default() };
        let schedule = KSchedule::read(fields, &training, run, &habits)?;
        let sigmas = schedule.levels_to(0.0);
        Ok(Self {
            timesteps: schedule.timesteps.iter().map(|timestep| *timestep as f32).collect(),
            prediction: fields.choice("prediction_type", "epsilon", &Prediction::ALL)?,
            init_noise_sigma: init_noise_sigma(&sigmas, schedule.spacing),
            sigmas,
            slopes: Default::default(),
            kept: 0,
            sum: Vec::new(),
        })
    }

    /// The weight of the slope that is `back` steps old, in a step of `order`: the integral over
    /// the step of the polynomial that is 1 there and 0 at the other slopes' levels.
    fn weight(&self, step: usize, order: usize, back: usize) -> f32 {
        let sigma = |index: usize| f64::from(self.sigmas[index]);
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
}

impl Scheduler for Lms {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        mix(1.0, original, self.sigmas[step], noise, noisy);
    }

    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]) {
        scale_to_unit_variance(self.sigmas[step], sample, scaled);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        _noise: Option<&[f32]>,
    ) {
        let (sigma, prediction) = (self.sigmas[step], self.prediction);
        self.slopes.rotate_right(1);
        self.kept = (self.kept + 1).min(ORDER);
        let newest = &mut self.slopes[0];
        newest.clear();
        let slope =
            |(x, output): (&f32, &f32)| (x - prediction.denoised(sigma, *output, *x)) / sigma;
        newest.extend(sample.iter().zip(model_output).map(slope));
        self.sum.clear();
        self.sum.resize(sample.len(), 0.0);
        // As diffusers: in a run that starts late the weights are the full order's from the first
        // step on, and the slopes that are missing count as 0.
        let order = ORDER.min(step + 1);
        for back in 0..order.min(self.kept) {
            let weight = self.weight(step, order, back);
            let slopes = &self.slopes[back];
            self.sum.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += weight * slope);
        }
        sample.iter_mut().zip(&self.sum).for_each(|(x, sum)| *x += sum);
    }
}
