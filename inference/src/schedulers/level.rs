//! A noise level as the DPM-Solver family sees it: x = α·x₀ + σ·ε, and λ = ln α − ln σ.

/// How a sample holds its noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// α² + σ² = 1.
    Preserving,
    /// α + σ = 1: flow matching.
    Flow,
    /// α = 1: EDM.
    Exploding,
}

/// A noise level, in single precision as torch computes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// The level as the schedule names it: σ/α but for flows.
    pub(super) noise: f32,
    pub(super) alpha: f32,
    pub(super) sigma: f32,
    pub(super) lambda: f32,
}

impl Level {
    pub(super) fn new(form: Form, noise: f32) -> Self {
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

    pub(super) fn all(form: Form, sigmas: &[f32]) -> Vec<Self> {
        sigmas.iter().map(|sigma| Self::new(form, *sigma)).collect()
    }
}
