//! Stable Diffusion XL, base and refiner, as diffusers' `StableDiffusionXLPipeline` and
//! `StableDiffusionXLImg2ImgPipeline` do it.
//!
//! Podell et al., SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis
//! (2023): two text encoders side by side, a pooled prompt, and the picture's sizes as numbers.

mod text;

use hearth_api::request::Task;

use self::text::{Negative, TextSpec};
pub(super) use self::text::{beside, second_or_first};
use super::stable_diffusion::{self, Kind};
use crate::blueprint::{Draft, Family, Reader};
use crate::diffusion::components::{
    ClipSpec, DenoiserSpec, Fills, Numbers, PROJECTED, Ports, SampleSize, ScalingRule, UnetConfig,
    VaeConfig, VaeSpec, adapter_names, controlnet_names, scheduler_config, warn_of_encoder,
};
use crate::diffusion::design::Design;
use crate::diffusion::facts::Facts;
use crate::diffusion::family::PictureFamily;
use crate::diffusion::schedule::Schedule;
use crate::model::{Defaults, Error};

/// Stable Diffusion XL: two text encoders, and sizes as inputs.
pub(in crate::diffusion) static FAMILY: PictureFamily = PictureFamily {
    takes_controlnets: true,
    controlled,
    conditioning_scale: |task| if task == Task::ImageToImage { 0.8 } else { 1.0 },
    pooled_guesses: |task| task != Task::Inpainting,
    scaling: ScalingRule {
        numbers: Numbers::Spread,
        decodes_fills_bare: Fills::Steered,
        encodes_fills_bare: Fills::All,
    },
    ..PictureFamily::of(
        Family {
            name: "stable-diffusion-xl",
            classes: &[
                "StableDiffusionXLPipeline",
                "StableDiffusionXLImg2ImgPipeline",
                "StableDiffusionXLInpaintPipeline",
                "StableDiffusionXLControlNetPipeline",
                "StableDiffusionXLControlNetImg2ImgPipeline",
                "StableDiffusionXLControlNetInpaintPipeline",
            ],
            tasks: &[Task::TextToImage, Task::ImageToImage, Task::Inpainting],
            read,
        },
        defaults,
    )
};

const GRAPHS: [&str; 2] = ["text_encoder_2", "unet"];
const OTHER: [&str; 2] = ["scheduler", "tokenizer_2"];
/// What the refiner doesn't have.
const FIRST: [&str; 2] = ["text_encoder", "tokenizer"];
const PORTS: Ports =
    Ports { required: &["encoder_hidden_states", "text_embeds", "time_ids"], ..Ports::UNET };
/// Cells of a latent's side where the config doesn't say.
const CELLS: u32 = 128;

fn defaults(_: &str, task: Task) -> Defaults {
    let (guidance_scale, strength) = match task {
        Task::ImageToImage => (5.0, Some(0.3)),
        Task::Inpainting => (7.5, Some(0.9999)),
        _ => (5.0, None),
    };
    Defaults { task, num_inference_steps: 50, guidance_scale, strength }
}

fn controlled(class: &str, task: Task) -> Defaults {
    let plain = defaults(class, task);
    match task {
        Task::ImageToImage => Defaults { strength: Some(0.8), ..plain },
        Task::Inpainting => Defaults { guidance_scale: 5.0, ..plain },
        _ => plain,
    }
}

/// Reads the folder's graphs and tokenizers.
fn read(reader: &Reader<'_>) -> Result<Draft, Error> {
    let folder = reader.folder();
    let (unet, vae) = (UnetConfig::read(folder)?, VaeConfig::read(folder)?);
    let inpainting_model = stable_diffusion::is_inpainting(&unet, &vae)?;
    let refiner = !folder.index().has(FIRST[0]);
    let schedule = Schedule::of(scheduler_config(reader)?);
    warn_of_encoder(reader);
    let (mut graphs, mut other) =
        ([&GRAPHS, VaeSpec::components(reader).as_slice()].concat(), OTHER.to_vec());
    if !refiner {
        graphs.push(FIRST[0]);
        other.push(FIRST[1]);
    }
    let nets = controlnet_names(reader)?;
    graphs.extend(nets.iter().map(String::as_str));
    reader.expect(&graphs, &other);

    let first = match refiner {
        true => None,
        false => Some(ClipSpec::read(reader, "", None)?),
    };
    let second = ClipSpec::read(reader, "_2", Some(PROJECTED))?;
    let denoiser = DenoiserSpec::read(reader, PORTS, unet.in_channels).controlled(
        reader,
        &nets,
        vae.latent_channels,
    )?;
    let embedding = stable_diffusion::embedding_width(&denoiser, &unet)?;
    let denoiser = if embedding.is_some() { denoiser.unguided(reader) } else { denoiser };
    denoiser.expect_length(reader, stable_diffusion::EMBEDDING, 1, embedding);
    let (cell, latent_channels) = (vae.cell(), vae.latent_channels);
    let vae = VaeSpec::read(reader, vae, FAMILY.scaling)?;
    let negative = match folder.index().flag("force_zeros_for_empty_prompt").unwrap_or(true) {
        true => Negative::Zeros,
        false => Negative::Encoded,
    };
    let aesthetic = folder.index().flag("requires_aesthetics_score").unwrap_or(false);
    let remedy = denoiser.cut_remedy();
    let text = TextSpec::new(reader, first, second, negative, embedding, aesthetic, remedy)?;
    text.expect_lengths(reader, &denoiser);

    let fixed = vae.fixed_size(denoiser.fixed_size())?;
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
            "guidance_interval",
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
    let facts = Facts {
        family: &FAMILY,
        schedule,
        tasks: stable_diffusion::tasks(&vae, &FAMILY, kind)?,
        fields,
        size: cells.map(|side| side * cell),
        size_factor: stable_diffusion::size_factor(folder, &unet, cell, &nets),
        fixed_size: fixed.is_some(),
        smallest: vae.smallest(),
        max_prompt_tokens: text.max_tokens(),
        sequence_length: None,
        sequence_is_built_in: false,
        max_prompt_chunks: denoiser.max_prompt_chunks(),
        max_clip_skip: text.max_skip(),
        classes: None,
        lora: adapter_names(text.adapters().chain([denoiser.adapters()])),
        controlnets: nets,
        cell,
        latent_channels,
        batch: denoiser.batch(),
        zeros_without_negative: negative == Negative::Zeros,
        longest: None,
    };
    let conditioner = Box::new(move |sessions: &mut _| text.open(sessions));
    Design { facts, conditioner, denoiser, vae: Some(vae), inpainting_model }.draft(reader)
}
