//! What a model was trained to predict.

use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::schedule::Mixture;

/// The meaning of the model's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prediction {
    /// The noise (Ho et al. 2020).
    Epsilon,
    /// The velocity v = √ᾱ·ε − √(1−ᾱ)·x₀ (Salimans & Ho 2022).
    Velocity,
    /// The clean sample x₀.
    Sample,
    /// The velocity ε − x₀ of flow matching, along x = (1 − σ)·x₀ + σ·ε (Lipman et al. 2022).
    Flow,
}

impl Prediction {
    /// The choices of `prediction_type` that the class-independent rules know.
    pub(crate) const ALL: [(&str, Self); 3] =
        [("epsilon", Self::Epsilon), ("v_prediction", Self::Velocity), ("sample", Self::Sample)];

    /// The choices of classes that also step along flows.
    pub(crate) const WITH_FLOW: [(&str, Self); 4] =
        [Self::ALL[0], Self::ALL[1], Self::ALL[2], ("flow_prediction", Self::Flow)];

    /// Reads `prediction_type` for a class whose rule is not written for models that predict the
    /// sample.
    pub(crate) fn read_noise_or_velocity(fields: &Fields<'_>) -> Result<Self, Error> {
        match fields.choice("prediction_type", "epsilon", &Self::ALL)? {
            Self::Sample => {
                let reason = "its rule takes epsilon or v_prediction; ddim, euler and dpmpp_2m \
                              take models that predict the sample";
                Err(fields.rejected("prediction_type", "sample", reason))
            }
            prediction @ (Self::Epsilon | Self::Velocity | Self::Flow) => Ok(prediction),
        }
    }

    /// The clean sample x₀, where `x` = α·x₀ + σ·ε with α² + σ² = 1.
    pub(crate) fn clean(self, Mixture { alpha, sigma }: Mixture, output: f32, x: f32) -> f32 {
        match self {
            Self::Epsilon | Self::Flow => (x - sigma * output) / alpha,
            Self::Velocity => alpha * x - sigma * output,
            Self::Sample => output,
        }
    }

    /// The noise ε, in the same form.
    pub(crate) fn noise(self, Mixture { alpha, sigma }: Mixture, output: f32, x: f32) -> f32 {
        match self {
            Self::Epsilon | Self::Flow => output,
            Self::Velocity => alpha * output + sigma * x,
            Self::Sample => (x - alpha * output) / sigma,
        }
    }

    /// The clean sample x₀ at noise level `sigma`, where `x` = x₀ + σ·ε.
    pub(crate) fn denoised(self, sigma: f32, output: f32, x: f32) -> f32 {
        match self {
            Self::Epsilon | Self::Flow => x - sigma * output,
            Self::Velocity => {
                let variance = sigma * sigma + 1.0;
                output * (-sigma / variance.sqrt()) + x / variance
            }
            Self::Sample => output,
        }
    }

    /// The slope of the probability-flow ODE, in the same form.
    pub(crate) fn slope(self, sigma: f32, output: f32, x: f32) -> f32 {
        (x - self.denoised(sigma, output, x)) / sigma
    }
}

/// Reads `variance_type`: whether the model predicts a variance, which DPM-Solver's rules leave
/// out.
pub(crate) fn learns_variance(fields: &Fields<'_>) -> Result<bool, Error> {
    if fields.given("variance_type").is_none() {
        return Ok(false);
    }
    let choices = [
        ("learned", true),
        ("learned_range", true),
        ("fixed_small", false),
        ("fixed_small_log", false),
        ("fixed_large", false),
        ("fixed_large_log", false),
    ];
    let learned = fields.choice("variance_type", "fixed_small", &choices)?;
    let prediction = fields.choice("prediction_type", "epsilon", &Prediction::WITH_FLOW)?;
    if learned && prediction != Prediction::Epsilon {
        let reason = "the rule drops the variance of models that predict epsilon only";
        return Err(fields.rejected("variance_type", "learned", reason));
    }
    Ok(learned)
}
