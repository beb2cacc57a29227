//! A noise level as the DPM-Solver family sees it: x = α·x₀ + σ·ε, and λ = ln α − ln σ.

use crate::schedulers::schedule::Mixture;

/// How a sample holds its noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// α² + σ² = 1.
    Preserving,
    /// α + σ = 1: flow matching.
    Flow,
    /// α = 1: EDM.
    Exploding,
}

/// A noise level, in single precision as torch computes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    /// The level as the schedule names it: σ/α but for flows.
    pub(crate) noise: f32,
    pub(crate) alpha: f32,
    pub(crate) sigma: f32,
    pub(crate) lambda: f32,
}

impl Level {
    pub(crate) fn new(form: Form, noise: f32) -> Self {
        let (alpha, sigma) = match form {
            Form::Preserving => {
                let alpha = 1.0 / (noise * noise + 1.0).sqrt();
                (alpha, noise * alpha)
            }
            Form::Flow => (1.0 - noise, noise),
            Form::Exploding => (1.0, noise),
        };
        Self { noise, alpha, sigma, lambda: alpha.ln() - sigma.ln() }
    }

    pub(crate) fn mixture(&self) -> Mixture {
        Mixture { alpha: self.alpha, sigma: self.sigma }
    }

    pub(crate) fn all(form: Form, sigmas: &[f32]) -> Vec<Self> {
        sigmas.iter().map(|sigma| Self::new(form, *sigma)).collect()
    }
}
