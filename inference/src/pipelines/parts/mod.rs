//! What pipelines are put together from; each family takes the parts that it has.

mod adapters;
mod cache;
mod clip;
mod configs;
mod controlnet;
mod controlnets;
mod decoder;
mod denoiser;
mod encoder;
mod files;
mod guidance;
mod memory;
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
    ClipEncoder, ClipPrompt, ClipText, Layer, POOLED, PROJECTED, Reading, warn_if_cut,
};
pub(super) use self::configs::{
    MAX_WIDTH, SampleSize, UnetConfig, VaeConfig, bad, check_count, check_size, scheduler_config,
};
pub(super) use self::controlnets::ControlNets;
pub(super) use self::decoder::Decoder;
pub(super) use self::denoiser::{Denoiser, Ports};
pub(super) use self::encoder::VaeEncoder;
pub(super) use self::files::{Files, check_files};
pub(super) use self::prompt::Syntax;
pub(super) use self::t5::{T5Encoder, T5Prompt};
pub(super) use self::vae::{Vae, draws_by_itself, without_vae};
