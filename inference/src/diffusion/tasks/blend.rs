//! The known part of a picture, brought back after each step.

use crate::schedulers::Schedule;

/// What brings the known part back after each step. All of it in the latents' layout.
pub(in crate::diffusion) struct Blend {
    known: Vec<f32>,
    noise: Vec<f32>,
    /// 1 where the picture is made anew, 0 where it is known.
    mask: Vec<f32>,
    /// Room for the known part at a step's level of noise.
    noisy: Vec<f32>,
}

impl Blend {
    /// Brings back `known` with `noise` where `mask` is 0; all have one length.
    pub(super) fn new(known: Vec<f32>, noise: Vec<f32>, mask: Vec<f32>) -> Self {
        let noisy = vec![0.0; known.len()];
        Self { known, noise, mask, noisy }
    }

    /// Brings the known part of `latents` back; they are at the level of call `next`, or without
    /// noise where that is none.
    pub(in crate::diffusion) fn apply(
        &mut self,
        schedule: &Schedule,
        next: Option<usize>,
        latents: &mut [f32],
    ) {
        let known = match next {
            Some(call) => {
                schedule.add_noise(call, &self.known, &self.noise, &mut self.noisy);
                &self.noisy
            }
            None => &self.known,
        };
        for ((value, known), mask) in latents.iter_mut().zip(known).zip(&self.mask) {
            *value = (1.0 - mask) * known + mask * *value;
        }
    }
}
