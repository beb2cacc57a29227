//! From the model's output to what the DPM-Solver family steps with: the clean sample or the noise.

use super::limit::Limit;
use super::memory::Memory;
use super::prediction::Prediction;
use super::rule::Step;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::Level;

/// What a rule steps with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// x₀.
    Clean,
    /// ε.
    Noise,
    /// ε, by way of x₀, as DEIS converts.
    NoiseOfClean,
}

/// Turns model outputs into a rule's target.
#[derive(Debug)]
pub(crate) struct Conversion {
    prediction: Prediction,
    target: Target,
    limit: Limit,
}

impl Conversion {
    /// Reads `prediction_type` and thresholding.
    pub(crate) fn read(fields: &Fields<'_>, target: Target) -> Result<Self, Error> {
        let prediction = fields.choice("prediction_type", "epsilon", &Prediction::WITH_FLOW)?;
        if target == Target::Noise && prediction == Prediction::Flow {
            let reason = "a rule that steps with the noise takes epsilon, sample or v_prediction; \
                          take dpmsolver++ or predict_x0";
            return Err(fields.rejected("prediction_type", "flow_prediction", reason));
        }
        Ok(Self { prediction, target, limit: Limit::read_thresholding(fields)? })
    }

    /// As [`read`](Self::read), but noise is never thresholded.
    pub(crate) fn read_thresholding_clean(
        fields: &Fields<'_>,
        target: Target,
    ) -> Result<Self, Error> {
        let mut conversion = Self::read(fields, target)?;
        if target == Target::Noise {
            conversion.limit = Limit::None;
        }
        Ok(conversion)
    }

    pub(crate) fn is_flow(&self) -> bool {
        self.prediction == Prediction::Flow
    }

    pub(crate) fn thresholds(&self) -> bool {
        self.limit.is_on()
    }

    /// Adds the target at `level` to the history, of which `most` entries are kept.
    pub(crate) fn remember(
        &self,
        level: &Level,
        step: &Step<'_>,
        most: usize,
        memory: &mut Memory,
    ) {
        let Memory { state, scratch } = memory;
        let newest = state.remember(most, step.sample.len());
        self.convert(level, step, newest, &mut scratch.magnitudes);
    }

    /// Writes the target at `level`. Of an output with a predicted variance the first half counts.
    pub(crate) fn convert(
        &self,
        level: &Level,
        step: &Step<'_>,
        converted: &mut [f32],
        magnitudes: &mut Vec<f32>,
    ) {
        let Step { output, sample, .. } = step;
        let pairs = converted.iter_mut().zip(sample.iter().zip(*output));
        let Level { noise, alpha, sigma, .. } = *level;
        match (self.target, self.prediction) {
            (Target::Noise, Prediction::Epsilon) => {
                pairs.for_each(|(to, (_, output))| *to = *output);
            }
            (Target::Noise, Prediction::Sample) => {
                pairs.for_each(|(to, (x, output))| *to = (x - alpha * output) / sigma);
            }
            (Target::Noise, _) => {
                pairs.for_each(|(to, (x, output))| *to = alpha * output + sigma * x);
            }
            (_, Prediction::Epsilon) => {
                pairs.for_each(|(to, (x, output))| *to = (x - sigma * output) / alpha);
            }
            (_, Prediction::Velocity) => {
                pairs.for_each(|(to, (x, output))| *to = alpha * x - sigma * output);
            }
            (_, Prediction::Sample) => pairs.for_each(|(to, (_, output))| *to = *output),
            (_, Prediction::Flow) => {
                pairs.for_each(|(to, (x, output))| *to = x - noise * output);
            }
        }
        if self.target == Target::Noise && self.limit.is_on() {
            swap(converted, sample, |x, epsilon| (x - sigma * epsilon) / alpha);
            self.limit.apply(converted, magnitudes);
            swap(converted, sample, |x, clean| (x - alpha * clean) / sigma);
        } else if self.target != Target::Noise {
            self.limit.apply(converted, magnitudes);
        }
        if self.target == Target::NoiseOfClean {
            let sigma = if self.is_flow() { noise } else { sigma };
            swap(converted, sample, |x, clean| (x - alpha * clean) / sigma);
        }
    }
}

fn swap(values: &mut [f32], sample: &[f32], rule: impl Fn(f32, f32) -> f32) {
    for (value, x) in values.iter_mut().zip(sample) {
        *value = rule(*x, *value);
    }
}
