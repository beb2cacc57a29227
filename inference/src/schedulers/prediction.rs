//! What a model was trained to predict.

use super::error::Error;
use super::fields::Fields;
use super::threshold::Limit;

/// The meaning of the model's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prediction {
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
    pub(super) const ALL: [(&str, Self); 3] =
        [("epsilon", Self::Epsilon), ("v_prediction", Self::Velocity), ("sample", Self::Sample)];

    /// The choices of classes that also step along flows.
    pub(super) const WITH_FLOW: [(&str, Self); 4] =
        [Self::ALL[0], Self::ALL[1], Self::ALL[2], ("flow_prediction", Self::Flow)];

    /// Reads `prediction_type` for a class whose rule is not written for models that predict the
    /// sample.
    pub(super) fn read_noise_or_velocity(fields: &Fields<'_>) -> Result<Self, Error> {
        match fields.choice("prediction_type", "epsilon", &Self::ALL)? {
            Self::Sample => {
                let reason = "its rule takes epsilon or v_prediction; ddim, euler and dpmpp_2m \
                              take models that predict the sample";
                Err(fields.rejected("prediction_type", "sample", reason))
            }
            prediction => Ok(prediction),
        }
    }

    /// The clean sample x₀, where `x` = √ᾱ·x₀ + √(1−ᾱ)·ε (variance-preserving form).
    pub(super) fn clean(self, root_alpha: f32, root_beta: f32, output: f32, x: f32) -> f32 {
        match self {
            Self::Epsilon | Self::Flow => (x - root_beta * output) / root_alpha,
            Self::Velocity => root_alpha * x - root_beta * output,
            Self::Sample => output,
        }
    }

    /// The noise ε, in the same form.
    pub(super) fn noise(self, root_alpha: f32, root_beta: f32, output: f32, x: f32) -> f32 {
        match self {
            Self::Epsilon | Self::Flow => output,
            Self::Velocity => root_alpha * output + root_beta * x,
            Self::Sample => (x - root_alpha * output) / root_beta,
        }
    }

    /// Refuses a run that visits a timestep without signal with a model that predicts the noise,
    /// unless a limit makes something finite of the clean sample.
    pub(super) fn check_signal(
        self,
        fields: &Fields<'_>,
        limit: &Limit,
        mut alphas: impl Iterator<Item = f32>,
    ) -> Result<(), Error> {
        if self == Self::Epsilon && !limit.is_on() && alphas.any(|alpha| alpha == 0.0) {
            let reason = "at zero SNR the noise says nothing of the sample; the model must predict \
                          v, or the run must start below the last timestep";
            return Err(fields.rejected("rescale_betas_zero_snr", true, reason));
        }
        Ok(())
    }

    /// The clean sample x₀ at noise level `sigma`, where `x` = x₀ + σ·ε (variance-exploding form).
    pub(super) fn denoised(self, sigma: f32, output: f32, x: f32) -> f32 {
        match self {
            Self::Epsilon | Self::Flow => x - sigma * output,
            Self::Velocity => {
                let variance = sigma * sigma + 1.0;
                output * (-sigma / variance.sqrt()) + x / variance
            }
            Self::Sample => output,
        }
    }
}
