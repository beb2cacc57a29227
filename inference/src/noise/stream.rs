//! One image's noise: the initial latent first, then what its scheduler's steps ask for.

use hearth_api::request::NoiseDevice;

use super::brownian::Motion;
use super::{CudaGenerator, Stretch, TorchGenerator};

/// What a scheduler's step wants to be given as noise.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Draw {
    /// The next unit normal numbers of the image's stream.
    Normal,
    /// The increment of the image's Brownian motion over a stretch, at unit variance. It has
    /// nothing to do with the stream's place.
    Brownian(Stretch),
}

/// The noise of one image, all of it from one seed.
///
/// As diffusers with one generator per image: every tensor is one draw, in order.
#[derive(Debug, Clone)]
pub struct NoiseStream {
    seed: u64,
    generator: Generator,
    motion: Motion,
}

#[derive(Debug, Clone)]
enum Generator {
    Cpu(Box<TorchGenerator>),
    Cuda(CudaGenerator),
}

impl NoiseStream {
    /// The stream of `seed` as torch's CPU generator has it.
    pub fn new(seed: u64) -> Self {
        Self::on(NoiseDevice::Cpu, seed)
    }

    /// The stream of `seed` as the device's generator has it.
    pub fn on(device: NoiseDevice, seed: u64) -> Self {
        let generator = match device {
            NoiseDevice::Cpu => Generator::Cpu(Box::new(TorchGenerator::new(seed))),
            NoiseDevice::Cuda => Generator::Cuda(CudaGenerator::new(seed)),
        };
        Self { seed, generator, motion: Motion::on(device) }
    }

    /// Fills `out` with the next unit normal numbers of the stream: one call is one tensor.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        match &mut self.generator {
            Generator::Cpu(generator) => generator.fill_normal(out),
            Generator::Cuda(generator) => generator.fill_normal(out),
        }
    }

    /// Fills `out` with what a scheduler's step asks for.
    pub fn fill(&mut self, draw: Draw, out: &mut [f32]) {
        match draw {
            Draw::Normal => self.fill_normal(out),
            Draw::Brownian(stretch) => self.motion.fill(self.seed, &stretch, out),
        }
    }
}
