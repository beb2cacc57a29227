//! What the folder's configs say about the model, and the description made of it.

use serde::Deserialize;

use crate::folder::{Contents, Folder};
use crate::pipelines::{Description, Error, MAX_PROMPT_CHARS};
use crate::schedulers::SchedulerConfig;
use crate::session::{Device, onnx};

const SCHEDULER: &str = "scheduler/scheduler_config.json";
const UNET: &str = "unet/config.json";
const VAE: &str = "vae_decoder/config.json";

/// Diffusers' `StableDiffusionPipeline.__call__` defaults.
const STEPS: u32 = 50;
const GUIDANCE: f32 = 7.5;

/// Sides up to this are accepted whatever the default, so that toy models can be tried at
/// other sizes; larger models can afford it anyway.
const SMALL: u32 = 128;

/// The configs that the pipeline needs.
pub(super) struct Config {
    pub(super) scheduler: SchedulerConfig,
    pub(super) unet: UnetConfig,
    pub(super) vae: VaeConfig,
}

/// `unet/config.json`; other keys don't matter here.
#[derive(Deserialize)]
pub(super) struct UnetConfig {
    pub(super) in_channels: usize,
    sample_size: Option<SampleSize>,
    block_out_channels: Vec<u32>,
    time_cond_proj_dim: Option<u32>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum SampleSize {
    Square(u32),
    HeightWidth([u32; 2]),
}

/// `vae_decoder/config.json`; other keys don't matter here.
#[derive(Deserialize)]
pub(super) struct VaeConfig {
    block_out_channels: Vec<u32>,
    pub(super) latent_channels: usize,
    #[serde(default = "scaling_factor")]
    pub(super) scaling_factor: f32,
    pub(super) shift_factor: Option<f32>,
}

/// What diffusers' `AutoencoderKL` has where the config says nothing.
fn scaling_factor() -> f32 {
    0.18215
}

impl Config {
    /// Reads and checks the configs.
    pub(super) fn read(folder: &Folder) -> Result<Self, Error> {
        let unet: UnetConfig = folder.json(UNET)?;
        let vae: VaeConfig = folder.json(VAE)?;
        let scheduler =
            SchedulerConfig::parse(&folder.text(SCHEDULER)?).map_err(Error::Scheduler)?;
        let bad = |part: &str, reason: String| Err(Error::Model { part: part.to_owned(), reason });
        if unet.in_channels != vae.latent_channels {
            return bad(
                UNET,
                format!(
                    "in_channels {} is not the decoder's {} latent channels; a UNet for inpainting or \
                 editing is not supported yet",
                    unet.in_channels, vae.latent_channels
                ),
            );
        }
        if unet.time_cond_proj_dim.is_some() {
            return bad(UNET, "time_cond_proj_dim: guidance embedding is not supported yet".into());
        }
        for (part, levels) in [(UNET, &unet.block_out_channels), (VAE, &vae.block_out_channels)] {
            if !(1..=8).contains(&levels.len()) {
                return bad(part, "block_out_channels must have 1 to 8 entries".into());
            }
        }
        if !(vae.scaling_factor.is_normal()) {
            return bad(VAE, format!("scaling_factor {} is of no use", vae.scaling_factor));
        }
        Ok(Self { scheduler, unet, vae })
    }

    /// Pixels of one latent cell's side.
    pub(super) fn cell(&self) -> u32 {
        1 << (self.vae.block_out_channels.len() - 1)
    }

    /// Width and height are multiples of this: the UNet halves the latents at each level, and an
    /// export has the sizes that it doubles them to built in as exact doubles.
    fn size_factor(&self) -> u32 {
        self.cell() << (self.unet.block_out_channels.len() - 1)
    }

    /// What the model is and what it can be asked for.
    pub(super) fn describe(
        &self,
        folder: &Folder,
        device: Device,
        files: Files,
        max_prompt_tokens: usize,
        fixed_size: Option<[usize; 2]>,
    ) -> Description {
        let own = folder.defaults();
        let trained = match (fixed_size, self.unet.sample_size) {
            (Some([height, width]), _) => [height as u32, width as u32],
            (None, Some(SampleSize::Square(side))) => [side, side],
            (None, Some(SampleSize::HeightWidth(size))) => size,
            (None, None) => [64, 64],
        };
        let [height, width] = trained.map(|cells| cells * self.cell());
        let default_width = own.width.unwrap_or(width);
        let default_height = own.height.unwrap_or(height);
        Description {
            family: folder.family(),
            tasks: vec!["text-to-image"],
            device: device.to_string(),
            default_width,
            default_height,
            size_factor: self.size_factor(),
            max_size: own.max_size.unwrap_or(SMALL.max(2 * default_width.max(default_height))),
            fixed_size: fixed_size.is_some(),
            default_steps: own.num_inference_steps.unwrap_or(STEPS),
            max_steps: self.scheduler.num_train_timesteps(),
            default_guidance_scale: own.guidance_scale.unwrap_or(GUIDANCE),
            scheduler: self.scheduler.class_name().to_owned(),
            max_prompt_tokens,
            max_prompt_chars: MAX_PROMPT_CHARS,
            latent_channels: self.vae.latent_channels,
            weight_bytes: files.bytes,
            digest: files.contents.digest,
            scheduler_config: self.scheduler.clone(),
        }
    }
}

/// The folder's files, checked.
pub(super) struct Files {
    contents: Contents,
    bytes: u64,
}

/// Checks every graph's files and the manifest, before anything is loaded.
pub(super) fn check_files(folder: &Folder, parts: &[&str]) -> Result<Files, Error> {
    let (mut external, mut bytes) = (Vec::new(), 0);
    for part in ["text_encoder", "unet", "vae_decoder"] {
        let files = onnx::check(folder.root(), &folder.graph(part)?)?;
        bytes += files.bytes;
        external.extend(files.external);
    }
    for part in parts {
        folder.path(part)?;
    }
    let contents = folder.contents(parts, &external)?;
    Ok(Files { contents, bytes })
}
