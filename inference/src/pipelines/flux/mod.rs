//! Flux schnell and dev, text to image, as diffusers' `FluxPipeline` does it.
//!
//! Black Forest Labs' FLUX.1 (2024): a rectified-flow transformer over squares of two by two
//! latent cells, each with its place as numbers; CLIP's pooled prompt and T5's hidden states; for
//! dev the guidance scale as an input.

mod text;

use std::sync::Arc;

use serde::Deserialize;

use self::text::Text;
use super::description::SequenceLength;
use super::diffusion::Diffusion;
use super::facts::Facts;
use super::parts::{self, ClipEncoder, Denoiser, POOLED, Ports, T5Encoder, Vae, VaeConfig};
use super::schedule::{Schedule, Trained};
use super::state::Layout;
use super::{Error, LoadOptions};
use crate::folder::Folder;
use crate::session::Runtime;

const GRAPHS: [&str; 3] = ["text_encoder", "text_encoder_2", "transformer"];
const OTHER: [&str; 3] = ["scheduler", "tokenizer", "tokenizer_2"];
const PORTS: Ports = Ports {
    required: &["encoder_hidden_states", "pooled_projections", "img_ids", "txt_ids"],
    optional: &[text::GUIDANCE],
    time_scale: 1000.0,
    ..Ports::TRANSFORMER
};
const TRANSFORMER: &str = "transformer/config.json";
/// Cells of a packed token.
const PACKED: usize = 4;
/// Diffusers' defaults; the size is that of 128 latent cells a side.
const CELLS: u32 = 128;
const LENGTH: SequenceLength = SequenceLength { default: 512, max: 512 };

/// `transformer/config.json`; other keys don't matter here.
#[derive(Deserialize)]
struct Config {
    in_channels: usize,
}

/// Loads the folder's graphs and tokenizers.
pub(super) fn load(
    runtime: &Runtime,
    folder: &Folder,
    options: &LoadOptions,
) -> Result<Diffusion, Error> {
    let device = options.device;
    let (config, vae): (Config, _) = (folder.json(TRANSFORMER)?, VaeConfig::read(folder)?);
    if config.in_channels != vae.latent_channels * PACKED {
        let reason = format!(
            "in_channels {} is not {PACKED} times the decoder's {} latent channels; a transformer \
             for filling or control is not supported yet",
            config.in_channels, vae.latent_channels
        );
        return Err(parts::bad(TRANSFORMER, reason));
    }
    let token_side = 2 * vae.cell();
    let schedule = Schedule {
        trained: Trained::Flow,
        token_side,
        given_sigmas: true,
        ..Schedule::of(parts::scheduler_config(folder)?)
    };
    let files =
        parts::check_files(folder, &[&GRAPHS, Vae::graphs(folder).as_slice()].concat(), &OTHER)?;

    let clip = ClipEncoder::load(runtime, folder, device, "", Some(POOLED))?;
    let t5 = T5Encoder::load(runtime, folder, device, "_2")?;
    let denoiser = Denoiser::load(runtime, folder, device, PORTS, config.in_channels)?;
    let both = Vae::load(runtime, folder, options, &vae)?;
    let fixed = both.fixed_size(None)?;
    let max_prompt_tokens = clip.max_tokens();
    let text = Text::new(clip, t5, &denoiser, token_side);

    let mut fields =
        vec!["latents", "prompt_2", "negative_prompt", "negative_prompt_2", "true_cfg_scale"];
    if text.takes_guidance() {
        fields.push("guidance_scale");
    }
    let description = Facts {
        folder,
        device,
        files,
        schedule,
        tasks: both.tasks(folder.family()),
        fields,
        size: fixed.unwrap_or([CELLS; 2]).map(|side| side * vae.cell()),
        size_factor: token_side,
        fixed_size: fixed.is_some(),
        smallest: both.smallest(),
        max_prompt_tokens,
        sequence_length: Some(LENGTH),
        max_prompt_chunks: 1,
        max_clip_skip: 0,
        classes: None,
        lora: parts::adapter_names(text.adapters().chain([denoiser.adapters()])),
        controlnets: Vec::new(),
        cell: vae.cell(),
        latent_channels: vae.latent_channels,
    }
    .describe()?;
    Ok(Diffusion {
        description: Arc::new(description),
        conditioner: Box::new(text),
        denoiser,
        decoder: both.decoder,
        encoder: both.encoder,
        inpainting_model: false,
        layout: Layout::Packed,
    })
}
