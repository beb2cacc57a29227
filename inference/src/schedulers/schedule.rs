//! The schedule of one run: which calls of the model it makes, at which noise levels, and what each
//! call needs. Plain numbers of one concrete type; how it is laid out is `levels`' concern, and how
//! a step is taken is the rule's.

use crate::noise::Draw;

/// The calls of the model that one run makes, in order.
///
/// What the methods name a call is its index into [`timesteps`](Self::timesteps).
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub(super) timesteps: Vec<f32>,
    pub(super) sigmas: Vec<f32>,
    /// One for each call.
    pub(super) mixtures: Vec<Mixture>,
    pub(super) input: InputScale,
    /// One for each call.
    pub(super) draws: Vec<Option<Draw>>,
    pub(super) init_noise_sigma: f32,
    pub(super) order: usize,
    pub(super) is_flow: bool,
    pub(super) takes_variance: bool,
}

/// How much of the clean sample and of the noise a noisy sample holds: x = alpha · x₀ + sigma · ε.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mixture {
    pub(super) alpha: f32,
    pub(super) sigma: f32,
}

impl Mixture {
    /// √ᾱ and √(1 − ᾱ).
    pub(super) fn of_alpha_cumprod(alpha_cumprod: f32) -> Self {
        Self { alpha: alpha_cumprod.sqrt(), sigma: (1.0 - alpha_cumprod).sqrt() }
    }
}

/// How the model's input is made of the sample, at each call. Quotients and products differ in
/// their last bit, and each class rounds as diffusers does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum InputScale {
    /// The sample itself.
    Unscaled,
    DividedBy(Vec<f32>),
    MultipliedBy(Vec<f32>),
}

impl Schedule {
    /// A schedule of single calls without noise, unscaled input and unit initial noise.
    pub(super) fn new(timesteps: Vec<f32>, sigmas: Vec<f32>, mixtures: Vec<Mixture>) -> Self {
        Self {
            draws: vec![None; timesteps.len()],
            timesteps,
            sigmas,
            mixtures,
            input: InputScale::Unscaled,
            init_noise_sigma: 1.0,
            order: 1,
            is_flow: false,
            takes_variance: false,
        }
    }

    /// A schedule over x = x₀ + σ·ε.
    pub(super) fn exploding(timesteps: Vec<f32>, sigmas: Vec<f32>) -> Self {
        let mixtures = sigmas.iter().map(|sigma| Mixture { alpha: 1.0, sigma: *sigma }).collect();
        Self::new(timesteps, sigmas, mixtures)
    }

    /// A schedule along a flow: x = (1 − σ)·x₀ + σ·ε.
    pub(super) fn flow(timesteps: Vec<f32>, sigmas: Vec<f32>) -> Self {
        let mixture = |sigma: &f32| Mixture { alpha: 1.0 - sigma, sigma: *sigma };
        let mixtures = sigmas.iter().map(mixture).collect();
        Self { is_flow: true, ..Self::new(timesteps, sigmas, mixtures) }
    }

    /// A schedule of whole timesteps over x = √ᾱ·x₀ + √(1 − ᾱ)·ε, with ᾱ per training timestep. It
    /// is not written in terms of sigmas.
    pub(super) fn preserving(timesteps: &[usize], alphas_cumprod: &[f32]) -> Self {
        let mixture = |timestep: &usize| Mixture::of_alpha_cumprod(alphas_cumprod[*timestep]);
        Self::new(
            timesteps.iter().map(|timestep| *timestep as f32).collect(),
            Vec::new(),
            timesteps.iter().map(mixture).collect(),
        )
    }

    /// The same with the noise that each call's step is to be given.
    pub(super) fn drawing(self, draw: impl Fn(usize) -> Option<Draw>) -> Self {
        Self { draws: (0..self.timesteps.len()).map(draw).collect(), ..self }
    }

    /// The timesteps given to the model, one for each call. Some rules make more calls than the run
    /// has steps (PNDM).
    ///
    /// In units of the training schedule (0 to `num_train_timesteps`), fractional for some.
    #[must_use]
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// The noise levels of the calls and, last, the level that the run ends at: one more than there
    /// are calls. Empty for classes that are not written in terms of sigmas (DDIM, PNDM).
    #[must_use]
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// Calls of the model that one step takes, but for the last: 2 for Heun's method and KDPM2.
    ///
    /// Diffusers' `order`. A run may start at any multiple of it.
    #[must_use]
    pub fn order(&self) -> usize {
        self.order
    }

    /// The standard deviation that the initial unit noise is multiplied with: 1 where the schedule
    /// keeps the sample's variance.
    #[must_use]
    pub fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    /// Whether it steps along a flow-matching model's velocity (Stable Diffusion 3, Flux) rather
    /// than with predictions of noise, sample or v. A pipeline refuses the one it has no use for.
    #[must_use]
    pub fn is_flow(&self) -> bool {
        self.is_flow
    }

    /// Whether the model must predict the noise's variance as well: its output is then twice the
    /// sample, the prediction first.
    #[must_use]
    pub fn takes_variance(&self) -> bool {
        self.takes_variance
    }

    /// The noise that the step of call `call` is to be given, if any.
    ///
    /// Also where the rule draws noise and then weighs it with zero, as the last ancestral step
    /// does: the stream must advance as it does in diffusers.
    #[must_use]
    pub fn step_noise(&self, call: usize) -> Option<Draw> {
        self.draws[call]
    }

    /// Writes the model's input for call `call`.
    pub fn scale_model_input(&self, call: usize, sample: &[f32], scaled: &mut [f32]) {
        let pairs = scaled.iter_mut().zip(sample);
        match &self.input {
            InputScale::Unscaled => scaled.copy_from_slice(sample),
            InputScale::DividedBy(divisors) => {
                let divisor = divisors[call];
                pairs.for_each(|(scaled, x)| *scaled = x / divisor);
            }
            InputScale::MultipliedBy(factors) => {
                let factor = factors[call];
                pairs.for_each(|(scaled, x)| *scaled = x * factor);
            }
        }
    }

    /// Writes the clean sample `original`, noised to the level of call `call` with unit noise.
    pub fn add_noise(&self, call: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Mixture { alpha, sigma } = self.mixtures[call];
        for ((noisy, x), noise) in noisy.iter_mut().zip(original).zip(noise) {
            *noisy = alpha * x + sigma * noise;
        }
    }
}
