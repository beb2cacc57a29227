//! Stable Diffusion XL, text to image, as diffusers' `StableDiffusionXLPipeline` does it.
//!
//! Podell et al., SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis
//! (2023): two text encoders side by side, a pooled prompt, and the picture's sizes as numbers.

mod text;

use std::sync::Arc;

use self::text::{Negative, Text};
pub(super) use self::text::{beside, second_or_first};
use super::diffusion::Diffusion;
use super::facts::Facts;
use super::parts::{
    self, ClipEncoder, Decoder, Denoiser, PROJECTED, Ports, SampleSize, UnetConfig, VaeConfig,
    VaeDecoder,
};
use super::schedule::Schedule;
use super::state::Layout;
use super::{Error, LoadOptions, stable_diffusion};
use crate::folder::Folder;
use crate::session::Runtime;

const GRAPHS: [&str; 4] = ["text_encoder", "text_encoder_2", "unet", "vae_decoder"];
const OTHER: [&str; 3] = ["scheduler", "tokenizer", "tokenizer_2"];
const PORTS: Ports =
    Ports { required: &["encoder_hidden_states", "text_embeds", "time_ids"], ..Ports::UNET };
/// Cells of a latent's side where the config doesn't say.
const CELLS: u32 = 128;
/// Diffusers' defaults.
const STEPS: u32 = 50;
const GUIDANCE: f32 = 5.0;

/// Loads the folder's graphs and tokenizers.
pub(super) fn load(
    runtime: &Runtime,
    folder: &Folder,
    options: &LoadOptions,
) -> Result<Diffusion, Error> {
    let device = options.device;
    let (unet, vae) = (UnetConfig::read(folder)?, VaeConfig::read(folder)?);
    stable_diffusion::check_channels(&unet, &vae)?;
    let schedule = Schedule::of(parts::scheduler_config(folder)?);
    let files = parts::check_files(folder, &GRAPHS, &OTHER)?;

    let first = ClipEncoder::load(runtime, folder, device, "", None)?;
    let second = ClipEncoder::load(runtime, folder, device, "_2", Some(PROJECTED))?;
    let denoiser = Denoiser::load(runtime, folder, device, PORTS, unet.in_channels)?;
    let embedding = stable_diffusion::embedding_width(&denoiser, &unet)?;
    let decoder = VaeDecoder::load(runtime, folder, device, &vae)?;
    let negative = match folder.flag("force_zeros_for_empty_prompt").unwrap_or(true) {
        true => Negative::Zeros,
        false => Negative::Encoded,
    };
    let text = Text::new(first, second, negative, embedding)?;

    let fixed = denoiser.fixed_size();
    let cells = fixed.or(unet.sample_size.map(SampleSize::height_width)).unwrap_or([CELLS; 2]);
    let mut fields = vec![
        "guidance_scale",
        "prompt_2",
        "denoising_end",
        "original_size",
        "target_size",
        "crops_coords_top_left",
    ];
    match embedding {
        Some(_) => fields.push("original_inference_steps"),
        None => fields.extend(["negative_prompt", "negative_prompt_2", "guidance_rescale"]),
    }
    let description = Facts {
        folder,
        device,
        files,
        schedule,
        tasks: vec!["text-to-image"],
        fields,
        size: cells.map(|side| side * vae.cell()),
        size_factor: vae.cell() * unet.factor(),
        fixed_size: fixed.is_some(),
        steps: STEPS,
        guidance_scale: GUIDANCE,
        max_prompt_tokens: text.max_tokens(),
        sequence_length: None,
        max_clip_skip: text.max_skip(),
        classes: None,
        latent_channels: vae.latent_channels,
    }
    .describe();
    Ok(Diffusion {
        description: Arc::new(description),
        conditioner: Box::new(text),
        denoiser,
        decoder: Decoder::Vae(Box::new(decoder)),
        layout: Layout::Planes,
    })
}
