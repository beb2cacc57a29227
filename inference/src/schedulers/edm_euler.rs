//! Euler's method with EDM's preconditioning (Karras et al. 2022, algorithm 1 without its second
//! order).

use super::edm::{Ends, Preconditioning};
use super::error::Error;
use super::fields::Fields;
use super::names::About;
use super::sigmas::{karras, linspace};
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About {
    name: "EDMEulerScheduler",
    keys: &[
        "sigma_min",
        "sigma_max",
        "sigma_data",
        "sigma_schedule",
        "num_train_timesteps",
        "prediction_type",
        "rho",
        "final_sigmas_type",
    ],
    takes: &[],
};

pub(super) struct EdmEuler {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    preconditioning: Preconditioning,
    init_noise_sigma: f32,
}

impl EdmEuler {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        Ends::check_steps(fields, run.steps)?;
        let ends = Ends::read(fields, 0.002, 80.0, "karras")?;
        let mut sigmas =
            if ends.karras { curve(&ends, run.steps) } else { ends.exponential(run.steps) };
        let least = sigmas[sigmas.len() - 1];
        sigmas.push(fields.choice(
            "final_sigmas_type",
            "zero",
            &[("zero", 0.0), ("sigma_min", least)],
        )?);
        Ok(Self {
            timesteps: sigmas[..run.steps].iter().map(|sigma| 0.25 * sigma.ln()).collect(),
            sigmas,
            preconditioning: Preconditioning::read(fields, 0.5, "epsilon")?,
            init_noise_sigma: ends.init_noise_sigma(),
        })
    }
}

/// Karras' levels, in double precision here.
fn curve(ends: &Ends, steps: usize) -> Vec<f32> {
    let ramp = linspace(0.0, 1.0, steps);
    ramp.iter().map(|ramp| karras(ends.min, ends.max, ends.rho, *ramp) as f32).collect()
}

impl Scheduler for EdmEuler {
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
        self.preconditioning.scale_input(self.sigmas[step], sample, scaled);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        _noise: Option<&[f32]>,
    ) {
        let (sigma, next) = (self.sigmas[step], self.sigmas[step + 1]);
        let (skip, out) = self.preconditioning.output_factors(sigma);
        for (x, output) in sample.iter_mut().zip(model_output) {
            let clean = skip * *x + out * output;
            *x += (*x - clean) / sigma * (next - sigma);
        }
    }
}
