//! Noise streams that equal torch's, number for number: the same seed gives the same picture.
//!
//! Here is the stream of torch's CPU generator, diffusers' default. The stream of its CUDA
//! generator has no place yet.

mod box_muller;
mod mt19937;
mod stream;
mod torch;

pub use stream::{Draw, NoiseStream};
pub use torch::TorchGenerator;
