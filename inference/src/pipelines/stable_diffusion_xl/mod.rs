//! Stable Diffusion XL, base and refiner, as diffusers' `StableDiffusionXLPipeline` and
//! `StableDiffusionXLImg2ImgPipeline` do it.
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
    self, ClipEncoder, ControlNets, Denoiser, PROJECTED, Ports, SampleSize, UnetConfig, Vae,
    VaeConfig,
};
use super::schedule::Schedule;
use super::stable_diffusion::{self, Kind};
use super::state::Layout;
use super::{Error, LoadOptions};
use crate::folder::Folder;
use crate::session::Runtime;

const GRAPHS: [&str; 2] = ["text_encoder_2", "unet"];
const OTHER: [&str; 2] = ["scheduler", "tokenizer_2"];
/// What the refiner doesn't have.
const FIRST: [&str; 2] = ["text_encoder", "tokenizer"];
const PORTS: Ports =
    Ports { required: &["encoder_hidden_states", "text_embeds", "time_ids"], ..Ports::UNET };
/// Cells of a latent's side where the config doesn't say.
const CELLS: u32 = 128;

/// Loads the folder's graphs and tokenizers.
pub(super) fn load(
    runtime: &Runtime,
    folder: &Folder,
    options: &LoadOptions,
) -> Result<Diffusion, Error> {
    let device = options.device;
    let (unet, vae) = (UnetConfig::read(folder)?, VaeConfig::read(folder)?);
    let inpainting_model = stable_diffusion::is_inpainting(&unet, &vae)?;
    let refiner = !folder.has(FIRST[0]);
    let schedule = Schedule::of(parts::scheduler_config(folder)?);
    let (mut graphs, mut other) =
        ([&GRAPHS, Vae::graphs(folder).as_slice()].concat(), OTHER.to_vec());
    if !refiner {
        graphs.push(FIRST[0]);
        other.push(FIRST[1]);
    }
    let nets = ControlNets::parts_of(folder)?;
    graphs.extend(nets.iter().map(String::as_str));
    let files = parts::check_files(folder, &graphs, &other)?;

    let first = match refiner {
        true => None,
        false => Some(ClipEncoder::load(runtime, folder, device, "", None)?),
    };
    let second = ClipEncoder::load(runtime, folder, device, "_2", Some(PROJECTED))?;
    let denoiser = Denoiser::load(runtime, folder, device, PORTS, unet.in_channels)?.controlled(
        runtime,
        folder,
        vae.latent_channels,
    )?;
    let embedding = stable_diffusion::embedding_width(&denoiser, &unet)?;
    let both = Vae::load(runtime, folder, options, &vae)?;
    let negative = match folder.flag("force_zeros_for_empty_prompt").unwrap_or(true) {
        true => Negative::Zeros,
        false => Negative::Encoded,
    };
    let aesthetic = folder.flag("requires_aesthetics_score").unwrap_or(false);
    let remedy = denoiser.cut_remedy();
    let text = Text::new(first, second, negative, embedding, aesthetic, remedy)?;

    let fixed = both.fixed_size(denoiser.fixed_size())?;
    let cells = fixed.or(unet.sample_size.map(SampleSize::height_width)).unwrap_or([CELLS; 2]);
    let mut fields = vec![
        "guidance_scale",
        "denoising_start",
        "denoising_end",
        "latents",
        "original_size",
        "crops_coords_top_left",
        "prompt_weights",
    ];
    match embedding {
        Some(_) => fields.push("original_inference_steps"),
        None => fields.extend([
            "negative_prompt",
            "guidance_rescale",
            "negative_original_size",
            "negative_crops_coords_top_left",
        ]),
    }
    if !aesthetic && embedding.is_none() {
        fields.push("negative_target_size");
    }
    if !refiner {
        fields.extend(["prompt_2", "negative_prompt_2"]);
    }
    fields.extend(match aesthetic {
        true => ["aesthetic_score", "negative_aesthetic_score"].as_slice(),
        false => &["target_size"],
    });
    let kind = match (inpainting_model, refiner) {
        (true, _) => Kind::Fills,
        (false, true) => Kind::Refines,
        (false, false) => Kind::Plain,
    };
    let mut description = Facts {
        folder,
        device,
        files,
        schedule,
        tasks: stable_diffusion::tasks(&both, folder, kind)?,
        fields,
        size: cells.map(|side| side * vae.cell()),
        size_factor: stable_diffusion::size_factor(folder, &unet, &vae, &nets),
        fixed_size: fixed.is_some(),
        smallest: both.smallest(),
        max_prompt_tokens: text.max_tokens(),
        sequence_length: None,
        max_prompt_chunks: denoiser.max_prompt_chunks(),
        max_clip_skip: text.max_skip(),
        classes: None,
        lora: parts::adapter_names(text.adapters().chain([denoiser.adapters()])),
        controlnets: nets,
        cell: vae.cell(),
        latent_channels: vae.latent_channels,
    }
    .describe()?;
    description.zeros_without_negative = negative == Negative::Zeros;
    Ok(Diffusion {
        description: Arc::new(description),
        conditioner: Box::new(text),
        denoiser,
        decoder: both.decoder,
        encoder: both.encoder,
        inpainting_model,
        layout: Layout::Planes,
    })
}
