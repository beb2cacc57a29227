//! Flux schnell and dev, text to image, as diffusers' `FluxPipeline` does it.
//!
//! Black Forest Labs' FLUX.1 (2024): a rectified-flow transformer over squares of two by two
//! latent cells, each with its place as numbers; CLIP's pooled prompt and T5's hidden states; for
//! dev the guidance scale as an input.

mod text;

use hearth_api::request::Task;
use serde::Deserialize;

use self::text::{LENGTH, TextSpec};
use crate::blueprint::{Draft, Family, Reader};
use crate::diffusion::components::{
    ClipSpec, DenoiserSpec, Fills, HIDDEN, Numbers, POOLED, Ports, ScalingRule, T5Spec, TextLength,
    VaeConfig, VaeSpec, adapter_names, bad, scheduler_config, warn_of_encoder,
};
use crate::diffusion::design::Design;
use crate::diffusion::facts::Facts;
use crate::diffusion::family::PictureFamily;
use crate::diffusion::layout::Layout;
use crate::diffusion::schedule::{Objective, Schedule};
use crate::model::{Defaults, Error};

/// Flux schnell and dev: CLIP and T5, a transformer over packed latents, flow matching.
pub(in crate::diffusion) static FAMILY: PictureFamily = PictureFamily {
    layout: Layout::Packed,
    takes_guidance_as_input: true,
    rounds_sizes: true,
    scaling: ScalingRule {
        numbers: Numbers::Shift,
        decodes_fills_bare: Fills::None,
        encodes_fills_bare: Fills::None,
    },
    ..PictureFamily::of(
        Family {
            name: "flux",
            classes: &["FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"],
            tasks: &[Task::TextToImage, Task::ImageToImage, Task::Inpainting],
            read,
        },
        defaults,
    )
};

const GRAPHS: [&str; 3] = ["text_encoder", "text_encoder_2", "transformer"];
const OTHER: [&str; 3] = ["scheduler", "tokenizer", "tokenizer_2"];
const PORTS: Ports = Ports {
    required: &["encoder_hidden_states", "pooled_projections", "img_ids", "txt_ids"],
    optional: &[text::GUIDANCE],
    places: &text::PLACES,
    time_scale: 1000.0,
    ..Ports::TRANSFORMER
};
const TRANSFORMER: &str = "transformer/config.json";
/// Cells of a packed token.
const PACKED: usize = 4;
/// Diffusers' defaults; the size is that of 128 latent cells a side.
const CELLS: u32 = 128;

/// `transformer/config.json`; other keys don't matter here.
#[derive(Deserialize)]
struct Config {
    in_channels: usize,
}

fn defaults(_: &str, task: Task) -> Defaults {
    let (guidance_scale, strength) = match task {
        Task::ImageToImage | Task::Inpainting => (7.0, Some(0.6)),
        _ => (3.5, None),
    };
    Defaults { task, num_inference_steps: 28, guidance_scale, strength }
}

/// Reads the folder's graphs and tokenizers.
fn read(reader: &Reader<'_>) -> Result<Draft, Error> {
    let folder = reader.folder();
    let (config, vae): (Config, _) = (folder.json(TRANSFORMER)?, VaeConfig::read(folder)?);
    if config.in_channels != vae.latent_channels * PACKED {
        let reason = format!(
            "in_channels {} is not {PACKED} times the decoder's {} latent channels; a transformer \
             for filling or control is not supported yet",
            config.in_channels, vae.latent_channels
        );
        return Err(bad(TRANSFORMER, reason));
    }
    let (cell, latent_channels) = (vae.cell(), vae.latent_channels);
    let token_side = 2 * cell;
    let schedule = Schedule {
        objective: Objective::Flow,
        token_side,
        given_sigmas: true,
        ..Schedule::of(scheduler_config(reader)?)
    };
    warn_of_encoder(reader);
    reader.expect(&[&GRAPHS, VaeSpec::components(reader).as_slice()].concat(), &OTHER);

    let clip = ClipSpec::read(reader, "", Some(POOLED))?;
    let t5 = T5Spec::read(reader, "_2")?;
    let denoiser = DenoiserSpec::read(reader, PORTS, config.in_channels);
    let vae = VaeSpec::read(reader, vae, FAMILY.scaling)?;
    let fixed = vae.fixed_size(None)?;
    let fixed = text::fixed_cells(&denoiser, fixed, CELLS)?;
    let max_prompt_tokens = clip.max_tokens();
    denoiser.expect_length(reader, HIDDEN, 2, t5.width);
    denoiser.expect_length(reader, "pooled_projections", 1, clip.pooled_width());
    let length = TextLength::resolve(
        LENGTH,
        &[
            ("text_encoder_2", t5.built_in_length),
            ("transformer", denoiser.built_in_length(HIDDEN, 1)),
            ("transformer", text::built_in_places(&denoiser, text::TEXT_PLACES)),
        ],
    )?;
    let text = TextSpec::new(clip, t5, &denoiser, token_side, length.range);

    let mut fields = vec![
        "latents",
        "prompt_2",
        "negative_prompt",
        "negative_prompt_2",
        "true_cfg_scale",
        "guidance_interval",
    ];
    if text.takes_guidance() {
        fields.push("guidance_scale");
    }
    let facts = Facts {
        family: &FAMILY,
        schedule,
        tasks: vae.tasks(FAMILY.family.tasks),
        fields,
        size: fixed.unwrap_or([CELLS; 2]).map(|side| side * cell),
        size_factor: token_side,
        fixed_size: fixed.is_some(),
        smallest: vae.smallest(),
        max_prompt_tokens,
        sequence_length: Some(length.range),
        sequence_is_built_in: length.built_in,
        max_prompt_chunks: 1,
        max_clip_skip: 0,
        classes: None,
        lora: adapter_names(text.adapters().chain([denoiser.adapters()])),
        controlnets: Vec::new(),
        cell,
        latent_channels,
        batch: denoiser.batch(),
        zeros_without_negative: false,
        longest: None,
    };
    let conditioner = Box::new(move |sessions: &mut _| text.open(sessions));
    Design { facts, conditioner, denoiser, vae: Some(vae), inpainting_model: false }.draft(reader)
}
