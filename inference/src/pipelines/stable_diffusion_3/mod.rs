//! Stable Diffusion 3, text to image, as diffusers' `StableDiffusion3Pipeline` does it.
//!
//! Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (2024):
//! two CLIP encoders side by side, T5 (which may be left out) after them, and flow matching.

mod text;

use std::sync::Arc;

use serde::Deserialize;

use self::text::Text;
use super::description::SequenceLength;
use super::diffusion::Diffusion;
use super::facts::Facts;
use super::parts::{
    self, ClipEncoder, Denoiser, PROJECTED, Ports, SampleSize, T5Encoder, Vae, VaeConfig,
};
use super::schedule::{Schedule, Trained};
use super::state::Layout;
use super::{Error, LoadOptions};
use crate::folder::{Folder, MAX_SIDE};
use crate::session::Runtime;

const GRAPHS: [&str; 3] = ["text_encoder", "text_encoder_2", "transformer"];
const OTHER: [&str; 3] = ["scheduler", "tokenizer", "tokenizer_2"];
const T5: [&str; 2] = ["text_encoder_3", "tokenizer_3"];
const TRANSFORMER: &str = "transformer/config.json";
/// Latent cells of a token's side, at most.
const MAX_PATCH: usize = 64;
/// Diffusers' default, and the longest that it takes.
const LENGTH: SequenceLength = SequenceLength { default: 256, max: 512 };

/// `transformer/config.json`; other keys don't matter here.
#[derive(Deserialize)]
struct Config {
    in_channels: usize,
    patch_size: u32,
    sample_size: SampleSize,
    pos_embed_max_size: u32,
    joint_attention_dim: usize,
}

/// Loads the folder's graphs and tokenizers.
pub(super) fn load(
    runtime: &Runtime,
    folder: &Folder,
    options: &LoadOptions,
) -> Result<Diffusion, Error> {
    let device = options.device;
    let (config, vae): (Config, _) = (folder.json(TRANSFORMER)?, VaeConfig::read(folder)?);
    if config.in_channels != vae.latent_channels {
        let reason = format!(
            "in_channels {} must be the decoder's {} latent channels",
            config.in_channels, vae.latent_channels
        );
        return Err(parts::bad(TRANSFORMER, reason));
    }
    for (key, count, most) in [
        ("patch_size", config.patch_size as usize, MAX_PATCH),
        ("pos_embed_max_size", config.pos_embed_max_size as usize, MAX_SIDE as usize),
        ("joint_attention_dim", config.joint_attention_dim, parts::MAX_WIDTH),
    ] {
        parts::check_count(TRANSFORMER, key, count, most)?;
    }
    parts::check_size(TRANSFORMER, Some(config.sample_size))?;
    let token_side = config.patch_size * vae.cell();
    let schedule = Schedule {
        trained: Trained::Flow,
        token_side,
        ..Schedule::of(parts::scheduler_config(folder)?)
    };
    let has_t5 = folder.has(T5[0]);
    let (mut graphs, mut other) =
        ([&GRAPHS, Vae::graphs(folder).as_slice()].concat(), OTHER.to_vec());
    if has_t5 {
        graphs.push(T5[0]);
        other.push(T5[1]);
    }
    let files = parts::check_files(folder, &graphs, &other)?;

    let first = ClipEncoder::load(runtime, folder, device, "", Some(PROJECTED))?;
    let second = ClipEncoder::load(runtime, folder, device, "_2", Some(PROJECTED))?;
    let third = match has_t5 {
        true => Some(T5Encoder::load(runtime, folder, device, "_3")?),
        false => None,
    };
    let text = Text::new(first, second, third, config.joint_attention_dim)?;
    let ports = Ports::TRANSFORMER;
    let denoiser = Denoiser::load(runtime, folder, device, ports, config.in_channels)?;
    let both = Vae::load(runtime, folder, options, &vae)?;

    let fixed = both.fixed_size(denoiser.fixed_size())?;
    let cells = fixed.unwrap_or(config.sample_size.height_width());
    let mut fields =
        vec!["guidance_scale", "latents", "prompt_2", "negative_prompt", "negative_prompt_2"];
    if has_t5 {
        fields.extend(["prompt_3", "negative_prompt_3"]);
    }
    let mut description = Facts {
        folder,
        device,
        files,
        schedule,
        tasks: both.tasks(folder.family()),
        fields,
        size: cells.map(|side| side * vae.cell()),
        size_factor: token_side,
        fixed_size: fixed.is_some(),
        smallest: both.smallest(),
        max_prompt_tokens: text.max_tokens(),
        sequence_length: Some(LENGTH),
        max_prompt_chunks: 1,
        max_clip_skip: text.max_skip(),
        classes: None,
        lora: parts::adapter_names(text.adapters().chain([denoiser.adapters()])),
        controlnets: Vec::new(),
        cell: vae.cell(),
        latent_channels: vae.latent_channels,
    }
    .describe()?;
    // The transformer has so many positions and no more.
    description.max_size = description.max_size.min(config.pos_embed_max_size * token_side);
    Ok(Diffusion {
        description: Arc::new(description),
        conditioner: Box::new(text),
        denoiser,
        decoder: both.decoder,
        encoder: both.encoder,
        inpainting_model: false,
        layout: Layout::Planes,
    })
}
