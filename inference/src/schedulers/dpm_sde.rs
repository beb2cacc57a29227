//! DPM-Solver++ for the SDE: the midpoint method with fresh noise after each of its two calls, from
//! one Brownian motion over noise levels (Katherine Crowson's k-diffusion, after Lu et al. 2022).

use super::betas::{Defaults, Training};
use super::error::Error;
use super::fields::Fields;
use super::k_schedule::{
    Habits, KSchedule, ancestral_split, init_noise_sigma, scale_to_unit_variance, twice,
};
use super::names::About;
use super::prediction::Prediction;
use super::sigmas::sigma_to_timestep;
use super::{Run, Scheduler, mix};
use crate::noise::{Draw, Stretch};

pub(super) const ABOUT: About = About {
    name: "DPMSolverSDEScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "prediction_type",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "noise_sampler_seed",
        "timestep_spacing",
        "steps_offset",
    ],
    takes: &[],
};

pub(super) struct DpmSde {
    timesteps: Vec<f32>,
    /// One for each call, and the one that the run ends at.
    sigmas: Vec<f32>,
    prediction: Prediction,
    init_noise_sigma: f32,
    /// The least level above 0 and the greatest one: where the Brownian motion runs.
    range: (f32, f32),
    seed: Option<u64>,
    /// Where the step began.
    start: Vec<f32>,
}

/// One call's way from a level to another.
struct Way {
    /// The level that the model is asked at.
    at: f32,
    /// −ln σ where the step begins.
    t: f32,
    from: f32,
    to: f32,
}

impl DpmSde {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::NARROW)?;
        let habits = Habits { own_range_karras: true, double: true, ..Habits::default() };
        let schedule = KSchedule::read(fields, &training, run, &habits)?;
        let steps = schedule.levels_to(0.0);
        let mut timesteps = twice(&schedule.timesteps, true);
        for (timestep, pair) in
            timesteps.iter_mut().skip(1).step_by(2).zip(schedule.sigmas.windows(2))
        {
            let (from, to) = (-pair[0].ln(), -pair[1].ln());
            let middle = (-(from + (to - from) * 0.5)).exp();
            *timestep = sigma_to_timestep(middle, &schedule.logs);
        }
        let seed = match fields.given("noise_sampler_seed") {
            None => None,
            Some(value) => Some(value.as_u64().ok_or_else(|| {
                Error::invalid("noise_sampler_seed", value, "a whole number from 0 up, or null")
            })?),
        };
        let above = steps.iter().copied().filter(|sigma| *sigma > 0.0);
        let range = above
            .fold((f32::INFINITY, 0.0_f32), |(min, max), sigma| (min.min(sigma), max.max(sigma)));
        Ok(Self {
            timesteps: timesteps.iter().map(|timestep| *timestep as f32).collect(),
            prediction: Prediction::read_noise_or_velocity(fields)?,
            init_noise_sigma: init_noise_sigma(&steps, schedule.spacing),
            sigmas: twice(&steps, false),
            range,
            seed,
            start: Vec::new(),
        })
    }

    /// The call's way; none for the last, which goes to 0. Levels go through ln σ and back, as in
    /// diffusers: the Brownian motion is asked at what comes out.
    fn way(&self, step: usize) -> Option<Way> {
        let first = step.is_multiple_of(2);
        let begin = if first { step } else { step - 1 };
        let (sigma, next) = (self.sigmas[begin], self.sigmas[begin + 1]);
        if next == 0.0 {
            return None;
        }
        let (t, t_next) = (-sigma.ln(), -next.ln());
        let middle = (-(t + (t_next - t) * 0.5)).exp();
        let (at, to) = if first { (sigma, middle) } else { (middle, (-t_next).exp()) };
        Some(Way { at, t, from: (-t).exp(), to })
    }
}

impl Scheduler for DpmSde {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn order(&self) -> usize {
        2
    }

    fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        mix(1.0, original, self.sigmas[step], noise, noisy);
    }

    fn step_noise(&self, step: usize) -> Option<Draw> {
        let Way { from, to, .. } = self.way(step)?;
        let (least, most) = self.range;
        Some(Draw::Brownian(Stretch { least, most, from, to, seed: self.seed }))
    }

    fn scale_model_input(&self, step: usize, sample: &[f32], scaled: &mut [f32]) {
        let at = self.way(step).map_or(self.sigmas[step], |way| way.at);
        scale_to_unit_variance(at, sample, scaled);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) {
        let Some(Way { at, t, from, to }) = self.way(step) else {
            let sigma = self.sigmas[step];
            for (x, output) in sample.iter_mut().zip(model_output) {
                let slope = (*x - self.prediction.denoised(sigma, *output, *x)) / sigma;
                *x += slope * -sigma;
            }
            return;
        };
        debug_assert!(noise.is_some(), "an SDE step needs its noise");
        if step.is_multiple_of(2) {
            self.start.clear();
            self.start.extend_from_slice(sample);
        }
        let (down, up) = ancestral_split(from, to);
        let up = up.min(to);
        let t_down = -down.ln();
        let (keep, along) = ((-t_down).exp() / from, (t - t_down).exp_m1());
        let noise = noise.unwrap_or_default();
        let parts = sample.iter_mut().zip(&self.start).zip(model_output.iter().zip(noise));
        for ((x, start), (output, noise)) in parts {
            let clean = self.prediction.denoised(at, *output, *x);
            *x = keep * start - along * clean + noise * up;
        }
    }
}
