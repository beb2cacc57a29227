//! Stable Diffusion 1.x and 2.x and their distilled forms (LCM), as diffusers'
//! `StableDiffusionPipeline` and `LatentConsistencyModelPipeline` do it.
//!
//! Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models (2022), with
//! classifier-free guidance after Ho and Salimans (2022), or with the guidance scale as an input
//! (Luo et al., Latent Consistency Models, 2023). Names, element types and ranks of the graphs'
//! inputs are read from the graphs; sizes and channels from the configs beside them.

mod embedding;
mod text;

use std::sync::Arc;

pub(super) use self::embedding::{NAME as EMBEDDING, guidance_embedding, width as embedding_width};
use self::text::Text;
use super::diffusion::Diffusion;
use super::facts::Facts;
use super::parts::{
    self, ClipEncoder, Decoder, Denoiser, Layer, Ports, SampleSize, UnetConfig, VaeConfig,
    VaeDecoder,
};
use super::schedule::Schedule;
use super::state::Layout;
use super::{Error, LoadOptions};
use crate::folder::{Family, Folder};
use crate::session::Runtime;

const GRAPHS: [&str; 3] = ["text_encoder", "unet", "vae_decoder"];
const OTHER: [&str; 2] = ["scheduler", "tokenizer"];
const UNET: &str = "unet/config.json";
/// Cells of a latent's side where the config doesn't say.
const CELLS: u32 = 64;

/// Diffusers' defaults: steps and guidance scale.
const DEFAULTS: (u32, f32) = (50, 7.5);
const LCM_DEFAULTS: (u32, f32) = (4, 8.5);

/// Loads the folder's three graphs and its tokenizer.
pub(super) fn load(
    runtime: &Runtime,
    folder: &Folder,
    options: &LoadOptions,
) -> Result<Diffusion, Error> {
    let device = options.device;
    let (unet, vae) = (UnetConfig::read(folder)?, VaeConfig::read(folder)?);
    check_channels(&unet, &vae)?;
    let schedule = Schedule::of(parts::scheduler_config(folder)?);
    let files = parts::check_files(folder, &GRAPHS, &OTHER)?;

    let encoder = ClipEncoder::load(runtime, folder, device, "", None)?;
    encoder.expect(Layer::Last)?;
    let denoiser = Denoiser::load(runtime, folder, device, Ports::UNET, unet.in_channels)?;
    let embedding = embedding::width(&denoiser, &unet)?;
    let decoder = VaeDecoder::load(runtime, folder, device, &vae)?;

    let fixed = denoiser.fixed_size();
    let cells = fixed.or(unet.sample_size.map(SampleSize::height_width)).unwrap_or([CELLS; 2]);
    let lcm = folder.family() == Family::LatentConsistency;
    let (steps, guidance_scale) = if lcm { LCM_DEFAULTS } else { DEFAULTS };
    let mut fields = vec!["guidance_scale"];
    match embedding {
        Some(_) => fields.push("original_inference_steps"),
        None => fields.extend(["negative_prompt", "guidance_rescale"]),
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
        steps,
        guidance_scale,
        max_prompt_tokens: encoder.max_tokens(),
        sequence_length: None,
        max_clip_skip: 0,
        classes: None,
        latent_channels: vae.latent_channels,
    }
    .describe();
    Ok(Diffusion {
        description: Arc::new(description),
        conditioner: Box::new(Text { encoder, embedding }),
        denoiser,
        decoder: Decoder::Vae(Box::new(decoder)),
        layout: Layout::Planes,
    })
}

/// The UNet takes the latents that the decoder takes.
pub(super) fn check_channels(unet: &UnetConfig, vae: &VaeConfig) -> Result<(), Error> {
    if unet.in_channels == vae.latent_channels {
        return Ok(());
    }
    let reason = format!(
        "in_channels {} is not the decoder's {} latent channels; a UNet for inpainting or editing \
         is not supported yet",
        unet.in_channels, vae.latent_channels
    );
    Err(parts::bad(UNET, reason))
}
