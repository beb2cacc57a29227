//! Stable Diffusion 3, text to image, as diffusers' `StableDiffusion3Pipeline` does it.
//!
//! Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (2024):
//! two CLIP encoders side by side, T5 (which may be left out) after them, and flow matching.

mod text;

use hearth_api::request::Task;
use serde::Deserialize;

use self::text::{LENGTH, TextSpec};
use crate::blueprint::folder::MAX_SIDE;
use crate::blueprint::{Draft, Family, Reader};
use crate::diffusion::components::{
    ClipSpec, DenoiserSpec, Fills, HIDDEN, MAX_WIDTH, Numbers, PROJECTED, Ports, SampleSize,
    ScalingRule, T5Spec, TextLength, VaeConfig, VaeSpec, adapter_names, bad, check_count,
    check_size, scheduler_config, warn_of_encoder,
};
use crate::diffusion::design::Design;
use crate::diffusion::facts::Facts;
use crate::diffusion::family::PictureFamily;
use crate::diffusion::schedule::{Objective, Schedule};
use crate::model::{Defaults, Error};

/// Stable Diffusion 3: three text encoders, a transformer, flow matching.
pub(in crate::diffusion) static FAMILY: PictureFamily = PictureFamily {
    scaling: ScalingRule {
        numbers: Numbers::Shift,
        decodes_fills_bare: Fills::All,
        encodes_fills_bare: Fills::None,
    },
    ..PictureFamily::of(
        Family {
            name: "stable-diffusion-3",
            classes: &[
                "StableDiffusion3Pipeline",
                "StableDiffusion3Img2ImgPipeline",
                "StableDiffusion3InpaintPipeline",
            ],
            tasks: &[Task::TextToImage, Task::ImageToImage, Task::Inpainting],
            read,
        },
        defaults,
    )
};

const GRAPHS: [&str; 3] = ["text_encoder", "text_encoder_2", "transformer"];
const OTHER: [&str; 3] = ["scheduler", "tokenizer", "tokenizer_2"];
const T5: [&str; 2] = ["text_encoder_3", "tokenizer_3"];
const TRANSFORMER: &str = "transformer/config.json";
/// Latent cells of a token's side, at most.
const MAX_PATCH: usize = 64;

/// `transformer/config.json`; other keys don't matter here.
#[derive(Deserialize)]
struct Config {
    in_channels: usize,
    patch_size: u32,
    sample_size: SampleSize,
    pos_embed_max_size: u32,
    joint_attention_dim: usize,
}

fn defaults(_: &str, task: Task) -> Defaults {
    let (num_inference_steps, strength) = match task {
        Task::ImageToImage | Task::Inpainting => (50, Some(0.6)),
        _ => (28, None),
    };
    Defaults { task, num_inference_steps, guidance_scale: 7.0, strength }
}

/// Reads the folder's graphs and tokenizers.
fn read(reader: &Reader<'_>) -> Result<Draft, Error> {
    let folder = reader.folder();
    let (config, vae): (Config, _) = (folder.json(TRANSFORMER)?, VaeConfig::read(folder)?);
    if config.in_channels != vae.latent_channels {
        let reason = format!(
            "in_channels {} must be the decoder's {} latent channels",
            config.in_channels, vae.latent_channels
        );
        return Err(bad(TRANSFORMER, reason));
    }
    for (key, count, most) in [
        ("patch_size", config.patch_size as usize, MAX_PATCH),
        ("pos_embed_max_size", config.pos_embed_max_size as usize, MAX_SIDE as usize),
        ("joint_attention_dim", config.joint_attention_dim, MAX_WIDTH),
    ] {
        check_count(TRANSFORMER, key, count, most)?;
    }
    check_size(TRANSFORMER, Some(config.sample_size))?;
    let (cell, latent_channels) = (vae.cell(), vae.latent_channels);
    let token_side = config.patch_size * cell;
    let schedule = Schedule {
        objective: Objective::Flow,
        token_side,
        ..Schedule::of(scheduler_config(reader)?)
    };
    let has_t5 = folder.index().has(T5[0]);
    warn_of_encoder(reader);
    let (mut graphs, mut other) =
        ([&GRAPHS, VaeSpec::components(reader).as_slice()].concat(), OTHER.to_vec());
    if has_t5 {
        graphs.push(T5[0]);
        other.push(T5[1]);
    }
    reader.expect(&graphs, &other);

    let first = ClipSpec::read(reader, "", Some(PROJECTED))?;
    let second = ClipSpec::read(reader, "_2", Some(PROJECTED))?;
    let third = match has_t5 {
        true => Some(T5Spec::read(reader, "_3")?),
        false => None,
    };
    let denoiser = DenoiserSpec::read(reader, Ports::TRANSFORMER, config.in_channels);
    // The transformer reads CLIP's tokens, then T5's.
    let beside =
        denoiser.built_in_length(HIDDEN, 1).map(|all| all.saturating_sub(first.max_tokens()));
    let of_t5 = third.as_ref().and_then(|third| third.built_in_length);
    let length =
        TextLength::resolve(LENGTH, &[("text_encoder_3", of_t5), ("transformer", beside)])?;
    let pooled = first.pooled_width().zip(second.pooled_width());
    let width = third.as_ref().map_or(Some(config.joint_attention_dim), |third| third.width);
    denoiser.expect_length(reader, HIDDEN, 2, width);
    let pooled = pooled.map(|(first, second)| first + second);
    denoiser.expect_length(reader, "pooled_projections", 1, pooled);
    let width = config.joint_attention_dim;
    let text = TextSpec::new(reader, first, second, third, width, length.range)?;
    let vae = VaeSpec::read(reader, vae, FAMILY.scaling)?;

    let fixed = vae.fixed_size(denoiser.fixed_size())?;
    let cells = fixed.unwrap_or(config.sample_size.height_width());
    let mut fields = vec![
        "guidance_scale",
        "guidance_interval",
        "latents",
        "prompt_2",
        "negative_prompt",
        "negative_prompt_2",
    ];
    if has_t5 {
        fields.extend(["prompt_3", "negative_prompt_3"]);
    }
    let facts = Facts {
        family: &FAMILY,
        schedule,
        tasks: vae.tasks(FAMILY.family.tasks),
        fields,
        size: cells.map(|side| side * cell),
        size_factor: token_side,
        fixed_size: fixed.is_some(),
        smallest: vae.smallest(),
        max_prompt_tokens: text.max_tokens(),
        sequence_length: Some(length.range),
        sequence_is_built_in: length.built_in,
        max_prompt_chunks: 1,
        max_clip_skip: text.max_skip(),
        classes: None,
        lora: adapter_names(text.adapters().chain([denoiser.adapters()])),
        controlnets: Vec::new(),
        cell,
        latent_channels,
        batch: denoiser.batch(),
        zeros_without_negative: false,
        // The transformer has so many positions and no more.
        longest: Some(config.pos_embed_max_size * token_side),
    };
    let conditioner = Box::new(move |sessions: &mut _| text.open(sessions));
    Design { facts, conditioner, denoiser, vae: Some(vae), inpainting_model: false }.draft(reader)
}
