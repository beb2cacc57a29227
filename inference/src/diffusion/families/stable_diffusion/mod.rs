//! Stable Diffusion 1.x and 2.x and their distilled forms (LCM), as diffusers'
//! `StableDiffusionPipeline` and `LatentConsistencyModelPipeline` do it.
//!
//! Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models (2022), with
//! classifier-free guidance after Ho and Salimans (2022), or with the guidance scale as an input
//! (Luo et al., Latent Consistency Models, 2023). Names, element types and ranks of the graphs'
//! inputs are read from the graphs; sizes and channels from the configs beside them.

mod embedding;
mod text;

pub(super) use self::embedding::{NAME as EMBEDDING, guidance_embedding, width as embedding_width};
use hearth_api::request::Task;

use self::text::Text;
use crate::blueprint::folder::Folder;
use crate::blueprint::{Draft, Family, Reader};
use crate::diffusion::components::{
    ClipSpec, DenoiserSpec, HIDDEN, Layer, Ports, SampleSize, UnetConfig, VaeConfig, VaeSpec,
    adapter_names, bad, controlnet_names, scheduler_config, warn_of_encoder,
};
use crate::diffusion::conditioning::Conditioner;
use crate::diffusion::design::Design;
use crate::diffusion::facts::Facts;
use crate::diffusion::family::{PictureFamily, strength};
use crate::diffusion::schedule::Schedule;
use crate::model::{Defaults, Error};

/// Stable Diffusion 1.x and 2.x: one CLIP text encoder, a UNet, a VAE.
pub(in crate::diffusion) static FAMILY: PictureFamily = PictureFamily {
    takes_controlnets: true,
    ..PictureFamily::of(
        Family {
            name: "stable-diffusion",
            classes: &[
                "StableDiffusionPipeline",
                "StableDiffusionImg2ImgPipeline",
                "StableDiffusionInpaintPipeline",
                "StableDiffusionControlNetPipeline",
                "StableDiffusionControlNetImg2ImgPipeline",
                "StableDiffusionControlNetInpaintPipeline",
            ],
            tasks: &[Task::TextToImage, Task::ImageToImage, Task::Inpainting],
            read: |reader| read(reader, &FAMILY),
        },
        |_, task| defaults(task, 50, 7.5),
    )
};

/// The same, distilled to a few steps, with the guidance scale as an input.
pub(in crate::diffusion) static LATENT_CONSISTENCY: PictureFamily = PictureFamily::of(
    Family {
        name: "latent-consistency",
        classes: &["LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline"],
        tasks: &[Task::TextToImage, Task::ImageToImage],
        read: |reader| read(reader, &LATENT_CONSISTENCY),
    },
    |_, task| defaults(task, 4, 8.5),
);

const GRAPHS: [&str; 2] = ["text_encoder", "unet"];
const OTHER: [&str; 2] = ["scheduler", "tokenizer"];
const UNET: &str = "unet/config.json";
/// Cells of a latent's side where the config doesn't say.
const CELLS: u32 = 64;

fn defaults(task: Task, num_inference_steps: u32, guidance_scale: f32) -> Defaults {
    Defaults { task, num_inference_steps, guidance_scale, strength: strength(task) }
}

/// Reads the folder's graphs and its tokenizer.
fn read(reader: &Reader<'_>, family: &'static PictureFamily) -> Result<Draft, Error> {
    let folder = reader.folder();
    let (unet, vae) = (UnetConfig::read(folder)?, VaeConfig::read(folder)?);
    let inpainting_model = is_inpainting(&unet, &vae)?;
    // Only the first family's pipelines correct what old configs say.
    let distilled = !family.takes_controlnets;
    let config = scheduler_config(reader)?;
    let schedule = Schedule { distilled, corrects: !distilled, ..Schedule::of(config) };
    let nets = match family.takes_controlnets {
        true => controlnet_names(reader)?,
        false => Vec::new(),
    };
    warn_of_encoder(reader);
    let mut graphs = [&GRAPHS, VaeSpec::components(reader).as_slice()].concat();
    graphs.extend(nets.iter().map(String::as_str));
    reader.expect(&graphs, &OTHER);

    let encoder = ClipSpec::read(reader, "", None)?.heeding_mask(folder)?;
    encoder.expect(reader, Layer::Last);
    let max_clip_skip = encoder.max_skip(Layer::Normalised(0));
    let denoiser = DenoiserSpec::read(reader, Ports::UNET, unet.in_channels).controlled(
        reader,
        &nets,
        vae.latent_channels,
    )?;
    let embedding = embedding::width(&denoiser, &unet)?;
    let denoiser = if embedding.is_some() { denoiser.unguided(reader) } else { denoiser };
    denoiser.expect_length(reader, HIDDEN, 1, Some(encoder.max_tokens()));
    denoiser.expect_length(reader, HIDDEN, 2, encoder.width(Layer::Last));
    denoiser.expect_length(reader, embedding::NAME, 1, embedding);
    let (cell, latent_channels) = (vae.cell(), vae.latent_channels);
    let size_factor = size_factor(folder, &unet, cell, &nets);
    let decodes_masks = vae.decodes_masks();
    let vae = VaeSpec::read(reader, vae, family.scaling)?;
    let kind = if inpainting_model { Kind::Fills } else { Kind::Plain };
    let mut tasks = tasks(&vae, family, kind)?;
    if decodes_masks {
        tasks.retain(|task| *task != Task::Inpainting);
    }

    let fixed = vae.fixed_size(denoiser.fixed_size())?;
    let cells = fixed.or(cells(&unet)).unwrap_or([CELLS; 2]);
    let mut fields = vec!["guidance_scale", "latents", "prompt_weights"];
    match embedding {
        Some(_) => fields.push("original_inference_steps"),
        None => fields.extend(["negative_prompt", "guidance_rescale", "guidance_interval"]),
    }
    let facts = Facts {
        family,
        schedule,
        tasks,
        fields,
        size: cells.map(|side| side * cell),
        size_factor,
        fixed_size: fixed.is_some(),
        smallest: vae.smallest(),
        max_prompt_tokens: encoder.max_tokens(),
        sequence_length: None,
        sequence_is_built_in: false,
        max_prompt_chunks: denoiser.max_prompt_chunks(),
        max_clip_skip,
        classes: None,
        lora: adapter_names([denoiser.adapters(), encoder.adapters()]),
        controlnets: nets,
        cell,
        latent_channels,
        batch: denoiser.batch(),
        zeros_without_negative: false,
        longest: None,
    };
    let remedy = denoiser.cut_remedy();
    let conditioner = Box::new(move |sessions: &mut _| {
        let encoder = encoder.open(sessions)?;
        Ok(Box::new(Text { encoder, embedding, remedy }) as Box<dyn Conditioner>)
    });
    Design { facts, conditioner, denoiser, vae: Some(vae), inpainting_model }.draft(reader)
}

/// Rows and columns of a latent. Configs of the first releases say less than the models were made
/// for; diffusers reads 64 there.
fn cells(unet: &UnetConfig) -> Option<[u32; 2]> {
    let size = unet.sample_size?;
    let small = matches!(size, SampleSize::Square(side) if side < CELLS);
    Some(if small && unet.is_older_than(0, 9) { [CELLS; 2] } else { size.height_width() })
}

/// Whether the UNet takes, beside the latents that the decoder takes, a mask and the latents of
/// what is masked.
pub(super) fn is_inpainting(unet: &UnetConfig, vae: &VaeConfig) -> Result<bool, Error> {
    let (own, latent) = (unet.in_channels, vae.latent_channels);
    if own == latent {
        return Ok(false);
    }
    if own == 2 * latent + 1 {
        return Ok(true);
    }
    let reason = format!(
        "in_channels {own} is not the decoder's {latent} latent channels, nor {} as for \
         inpainting; a UNet for editing is not supported yet",
        2 * latent + 1
    );
    Err(bad(UNET, reason))
}

/// What widths and heights are multiples of. ControlNets halve exactly, whatever the UNet does.
pub(super) fn size_factor(folder: &Folder, unet: &UnetConfig, cell: u32, nets: &[String]) -> u32 {
    match folder.defaults().any_size && nets.is_empty() {
        true => cell,
        false => cell * unet.factor(),
    }
}

/// What a UNet was trained for.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Pictures from words.
    Plain,
    /// Parts of pictures.
    Fills,
    /// Pictures that another model began.
    Refines,
}

/// What such a model does.
pub(super) fn tasks(vae: &VaeSpec, family: &PictureFamily, kind: Kind) -> Result<Vec<Task>, Error> {
    let mut tasks = vae.tasks(family.family.tasks);
    tasks.retain(|task| match kind {
        Kind::Plain => true,
        Kind::Fills => *task == Task::Inpainting,
        Kind::Refines => *task != Task::TextToImage,
    });
    if tasks.is_empty() {
        let reason = "the UNet changes or fills pictures, and nothing encodes them: there is no \
                      vae_encoder/model.onnx that a picture can start from; export the folder again";
        return Err(bad("vae_encoder", reason.to_owned()));
    }
    Ok(tasks)
}
