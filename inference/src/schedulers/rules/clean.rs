//! The clean sample that a model's output predicts, for rules over x = √ᾱ·x₀ + √(1 − ᾱ)·ε.

use super::limit::Limit;
use super::memory::Scratch;
use super::prediction::Prediction;
use super::rule::Step;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::Training;
use crate::schedulers::schedule::Mixture;

/// What the model predicts, and the limit on the clean sample that follows.
#[derive(Debug)]
pub(crate) struct Clean {
    prediction: Prediction,
    limit: Limit,
}

impl Clean {
    /// Reads `prediction_type`. Refuses a run that visits a timestep without signal with a model
    /// that predicts the noise, unless a limit makes something finite of the clean sample.
    pub(crate) fn read(
        fields: &Fields<'_>,
        training: &Training,
        timesteps: &[usize],
        limit: Limit,
    ) -> Result<Self, Error> {
        let prediction = fields.choice("prediction_type", "epsilon", &Prediction::ALL)?;
        let silent = |timestep: &usize| training.alphas_cumprod[*timestep] == 0.0;
        if prediction == Prediction::Epsilon && !limit.is_on() && timesteps.iter().any(silent) {
            let reason = "at zero SNR the noise says nothing of the sample; the model must predict \
                          v, or the run must start below the last timestep";
            return Err(fields.rejected("rescale_betas_zero_snr", true, reason));
        }
        Ok(Self { prediction, limit })
    }

    /// Predicts the clean sample, within its limits.
    pub(crate) fn predict<'a>(&self, step: &Step<'_>, scratch: &'a mut Scratch) -> &'a [f32] {
        let Scratch { values, magnitudes } = scratch;
        let mixture = step.mixture();
        let clean = |(x, output): (&f32, &f32)| self.unlimited(mixture, *output, *x);
        values.clear();
        values.extend(step.sample.iter().zip(step.output).map(clean));
        self.limit.apply(values, magnitudes);
        values
    }

    /// The clean sample without its limits.
    pub(crate) fn unlimited(&self, mixture: Mixture, output: f32, x: f32) -> f32 {
        self.prediction.clean(mixture, output, x)
    }

    /// The noise.
    pub(crate) fn noise(&self, mixture: Mixture, output: f32, x: f32) -> f32 {
        self.prediction.noise(mixture, output, x)
    }
}
