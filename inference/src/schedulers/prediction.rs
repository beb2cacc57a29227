//! What a model was trained to predict.

/// The meaning of the model's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prediction {
    /// The noise (Ho et al. 2020).
    Epsilon,
    /// The velocity v = √ᾱ·ε − √(1−ᾱ)·x₀ (Salimans & Ho 2022).
    Velocity,
    /// The clean sample x₀.
    Sample,
}

impl Prediction {
    /// The choices of `prediction_type` that the class-independent rules know.
    pub(super) const ALL: [(&str, Self); 3] =
        [("epsilon", Self::Epsilon), ("v_prediction", Self::Velocity), ("sample", Self::Sample)];

    /// The clean sample x₀ at noise level `sigma`, where `x` = x₀ + σ·ε (variance-exploding form).
    pub(super) fn denoised(self, sigma: f32, output: f32, x: f32) -> f32 {
        match self {
            Self::Epsilon => x - sigma * output,
            Self::Velocity => {
                let variance = sigma * sigma + 1.0;
                output * (-sigma / variance.sqrt()) + x / variance
            }
            Self::Sample => output,
        }
    }
}
