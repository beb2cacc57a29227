//! Noise streams that equal torch's, number for number: the same seed gives the same picture.
//!
//! `torch` is its CPU generator, diffusers' default; `philox` its CUDA generator; `brownian` the
//! Brownian motion that some schedulers draw from. `stream` is what a pipeline holds for an image.

mod box_muller;
mod brownian;
mod mt19937;
mod philox;
mod seed_sequence;
mod stream;
mod torch;

pub use brownian::Stretch;
pub use philox::CudaGenerator;
pub use stream::{Draw, NoiseStream};
pub use torch::TorchGenerator;
