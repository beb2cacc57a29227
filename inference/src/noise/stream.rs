//! One image's noise: the initial latent first, then what its scheduler's steps ask for.

use super::TorchGenerator;

/// What a scheduler's step wants to be given as noise.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Draw {
    /// The next unit normal numbers of the image's stream.
    Normal,
}

/// The noise of one image, all of it from one seed.
///
/// As diffusers with one generator per image: every tensor is one draw, in order.
#[derive(Debug, Clone)]
pub struct NoiseStream {
    generator: TorchGenerator,
}

impl NoiseStream {
    /// The stream of `seed`, from torch's CPU generator.
    pub fn new(seed: u64) -> Self {
        Self { generator: TorchGenerator::new(seed) }
    }

    /// Fills `out` with the next unit normal numbers of the stream: one call is one tensor.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        self.generator.fill_normal(out);
    }

    /// Fills `out` with what a scheduler's step asks for.
    pub fn fill(&mut self, draw: Draw, out: &mut [f32]) {
        match draw {
            Draw::Normal => self.fill_normal(out),
        }
    }
}
