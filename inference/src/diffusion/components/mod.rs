//! The components that models are put together from; each family takes those that it has.
//!
//! A component is read from its folder as a spec, which judges its graph and knows what can be asked
//! of it, and becomes what runs when its session is there.

mod adapters;
mod batch;
mod cache;
mod clip;
mod configs;
mod controlnet;
mod controlnets;
mod decoder;
mod denoiser;
mod denoiser_ports;
mod denoiser_spec;
mod encoder;
mod guidance;
mod memory;
mod numbers;
mod prompt;
mod residuals;
mod scaling;
mod t5;
mod tiles;
mod tiling;
mod vae;
mod vae_graph;

pub(super) use self::adapters::{Adapters, names as adapter_names};
pub(super) use self::clip::{
    ClipEncoder, ClipPrompt, ClipSpec, ClipText, Layer, POOLED, PROJECTED, Reading, warn_if_cut,
};
pub(super) use self::configs::{
    MAX_WIDTH, SampleSize, UnetConfig, VaeConfig, bad, check_count, check_size, scheduler_config,
};
pub(super) use self::controlnets::names as controlnet_names;
pub(super) use self::decoder::Decoder;
pub(super) use self::denoiser::Denoiser;
pub(super) use self::denoiser_ports::{HIDDEN, Ports};
pub(super) use self::denoiser_spec::DenoiserSpec;
pub(super) use self::encoder::VaeEncoder;
pub(super) use self::numbers::are_finite;
pub(super) use self::prompt::Syntax;
#[cfg(test)]
pub(super) use self::scaling::Scaling;
pub(super) use self::scaling::{Fills, Numbers, ScalingRule};
pub(super) use self::t5::{T5Encoder, T5Prompt, T5Spec, TextLength};
pub(super) use self::vae::{VaeSpec, warn_of_encoder};
