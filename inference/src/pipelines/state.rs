//! One picture on its way: what changes from step to step.

use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use crate::noise::NoiseStream;
use crate::schedulers::Scheduler;

/// One picture being denoised. Made by [`Pipeline::start`](super::Pipeline::start), advanced by
/// `step`, ended by `finish`; dropping it abandons the picture.
pub struct State {
    pub(super) settings: Settings,
    pub(super) seed: u64,
    pub(super) scheduler: Box<dyn Scheduler>,
    /// This picture's own stream: initial noise first, then the steps' noise.
    pub(super) noise_stream: NoiseStream,
    pub(super) conditioning: Arc<Conditioning>,
    /// Channels, rows and columns of the latents.
    pub(super) shape: [usize; 3],
    pub(super) latents: Vec<f32>,
    /// Room for a step's noise; empty for schedulers that draw none.
    pub(super) noise: Vec<f32>,
    pub(super) step: usize,
    pub(super) warnings: Vec<String>,
    pub(super) session_time: Duration,
}

/// What the text encoder made of the prompts.
#[derive(Debug)]
pub(super) struct Conditioning {
    /// Hidden states, [batch, tokens, width]: the negative prompt's first where there is guidance.
    pub(super) hidden: Vec<f32>,
    /// Number of tokens and width of a hidden state.
    pub(super) tokens: usize,
    pub(super) width: usize,
}

impl State {
    /// Steps taken so far.
    #[must_use]
    pub fn step_index(&self) -> usize {
        self.step
    }

    /// Steps in all: calls of the model, which some schedulers make more than asked for.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.scheduler.timesteps().len()
    }

    /// Whether all steps are taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.step >= self.steps()
    }

    /// The latents as they stand, in row-major order of [`latent_shape`](Self::latent_shape).
    #[must_use]
    pub fn latents(&self) -> &[f32] {
        &self.latents
    }

    /// Channels, rows and columns of the latents.
    #[must_use]
    pub fn latent_shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The request, checked and with its defaults.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The picture's seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What the caller should know, such as a cut prompt.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
