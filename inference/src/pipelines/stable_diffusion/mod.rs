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
    self, ClipEncoder, ControlNets, Denoiser, Layer, Ports, SampleSize, UnetConfig, Vae, VaeConfig,
};
use super::schedule::Schedule;
use super::state::Layout;
use super::{Error, LoadOptions};
use crate::folder::{Family, Folder};
use crate::session::Runtime;

const GRAPHS: [&str; 2] = ["text_encoder", "unet"];
const OTHER: [&str; 2] = ["scheduler", "tokenizer"];
const UNET: &str = "unet/config.json";
/// Cells of a latent's side where the config doesn't say.
const CELLS: u32 = 64;

/// Loads the folder's three graphs and its tokenizer.
pub(super) fn load(
    runtime: &Runtime,
    folder: &Folder,
    options: &LoadOptions,
) -> Result<Diffusion, Error> {
    let device = options.device;
    let (unet, vae) = (UnetConfig::read(folder)?, VaeConfig::read(folder)?);
    let inpainting_model = is_inpainting(&unet, &vae)?;
    let lcm = folder.family() == Family::LatentConsistency;
    let config = parts::scheduler_config(folder)?;
    let schedule = Schedule { distilled: lcm, corrects: !lcm, ..Schedule::of(config) };
    let nets = ControlNets::parts_of(folder)?;
    let mut graphs = [&GRAPHS, Vae::graphs(folder).as_slice()].concat();
    graphs.extend(nets.iter().map(String::as_str));
    let files = parts::check_files(folder, &graphs, &OTHER)?;

    let encoder = ClipEncoder::load(runtime, folder, device, "", None)?;
    encoder.expect(Layer::Last)?;
    let max_clip_skip = encoder.max_skip(Layer::Normalised(0));
    let denoiser = Denoiser::load(runtime, folder, device, Ports::UNET, unet.in_channels)?
        .controlled(runtime, folder, vae.latent_channels)?;
    let embedding = embedding::width(&denoiser, &unet)?;
    let both = Vae::load(runtime, folder, options, &vae)?;
    let kind = if inpainting_model { Kind::Fills } else { Kind::Plain };
    let mut tasks = tasks(&both, folder, kind)?;
    if vae.decodes_masks() {
        tasks.retain(|task| *task != "inpainting");
    }

    let fixed = both.fixed_size(denoiser.fixed_size())?;
    let cells = fixed.or(cells(&unet)).unwrap_or([CELLS; 2]);
    let mut fields = vec!["guidance_scale", "latents", "prompt_weights"];
    match embedding {
        Some(_) => fields.push("original_inference_steps"),
        None => fields.extend(["negative_prompt", "guidance_rescale"]),
    }
    let description = Facts {
        folder,
        device,
        files,
        schedule,
        tasks,
        fields,
        size: cells.map(|side| side * vae.cell()),
        size_factor: size_factor(folder, &unet, &vae, &nets),
        fixed_size: fixed.is_some(),
        smallest: both.smallest(),
        max_prompt_tokens: encoder.max_tokens(),
        sequence_length: None,
        max_prompt_chunks: denoiser.max_prompt_chunks(),
        max_clip_skip,
        classes: None,
        lora: parts::adapter_names([denoiser.adapters(), encoder.adapters()]),
        controlnets: nets,
        cell: vae.cell(),
        latent_channels: vae.latent_channels,
    }
    .describe()?;
    Ok(Diffusion {
        description: Arc::new(description),
        conditioner: Box::new(Text { encoder, embedding, remedy: denoiser.cut_remedy() }),
        denoiser,
        decoder: both.decoder,
        encoder: both.encoder,
        inpainting_model,
        layout: Layout::Planes,
    })
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
    Err(parts::bad(UNET, reason))
}

/// What widths and heights are multiples of. ControlNets halve exactly, whatever the UNet does.
pub(super) fn size_factor(
    folder: &Folder,
    unet: &UnetConfig,
    vae: &VaeConfig,
    nets: &[String],
) -> u32 {
    match folder.defaults().any_size && nets.is_empty() {
        true => vae.cell(),
        false => vae.cell() * unet.factor(),
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
pub(super) fn tasks(vae: &Vae, folder: &Folder, kind: Kind) -> Result<Vec<&'static str>, Error> {
    let mut tasks = vae.tasks(folder.family());
    tasks.retain(|task| match kind {
        Kind::Plain => true,
        Kind::Fills => *task == "inpainting",
        Kind::Refines => *task != "text-to-image",
    });
    if tasks.is_empty() {
        let reason = "the UNet changes or fills pictures, and nothing encodes them: there is no \
                      vae_encoder/model.onnx that gives latent_parameters; export the folder again";
        return Err(parts::bad("vae_encoder", reason.to_owned()));
    }
    Ok(tasks)
}
