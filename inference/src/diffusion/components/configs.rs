//! What the configs beside the graphs say; keys that don't matter here are ignored.

use serde::Deserialize;
use serde_json::Value;

use crate::blueprint::folder::{Folder, MAX_SIDE};
use crate::blueprint::{Reader, SCHEDULER, SCHEDULER_CONFIG};
use crate::brief::{VALUE, brief};
use crate::model::Error;
use crate::schedulers::SchedulerConfig;

const UNET: &str = "unet/config.json";
const VAE: &str = "vae_decoder/config.json";

/// Channels of latents, at most: a refusal for the sizes of memory that would follow.
const MAX_CHANNELS: usize = 1024;
/// Width of an embedding, at most.
pub(in crate::diffusion) const MAX_WIDTH: usize = 1 << 16;

/// `unet/config.json`.
#[derive(Debug, Deserialize)]
pub(in crate::diffusion) struct UnetConfig {
    #[serde(rename = "_diffusers_version")]
    diffusers_version: Option<String>,
    pub(in crate::diffusion) in_channels: usize,
    pub(in crate::diffusion) out_channels: Option<usize>,
    pub(in crate::diffusion) sample_size: Option<SampleSize>,
    block_out_channels: Vec<u32>,
    pub(in crate::diffusion) time_cond_proj_dim: Option<usize>,
    pub(in crate::diffusion) num_class_embeds: Option<u32>,
}

/// Rows and columns of the latents that a model was trained at.
#[derive(Debug, Deserialize, Clone, Copy)]
#[serde(try_from = "Value")]
pub(in crate::diffusion) enum SampleSize {
    Square(u32),
    HeightWidth([u32; 2]),
}

impl TryFrom<Value> for SampleSize {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let side = |value: &Value| {
            let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
            (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
        };
        let size = match &value {
            Value::Array(sides) => match sides.as_slice() {
                [height, width] => {
                    side(height).zip(side(width)).map(|(h, w)| Self::HeightWidth([h, w]))
                }
                _ => None,
            },
            one => side(one).map(Self::Square),
        };
        size.ok_or_else(|| format!("{value}: give a whole number, or [rows, columns]"))
    }
}

impl SampleSize {
    pub(in crate::diffusion) fn height_width(self) -> [u32; 2] {
        match self {
            Self::Square(side) => [side, side],
            Self::HeightWidth(size) => size,
        }
    }
}

/// A ControlNet's `config.json`.
#[derive(Debug, Deserialize)]
pub(in crate::diffusion) struct ControlNetConfig {
    #[serde(rename = "_class_name")]
    class: Option<String>,
    pub(in crate::diffusion) in_channels: usize,
    block_out_channels: Vec<u32>,
    #[serde(default = "layers_per_block")]
    layers_per_block: usize,
    #[serde(default)]
    pub(in crate::diffusion) global_pool_conditions: bool,
}

/// `vae_decoder/config.json`.
#[derive(Debug, Deserialize)]
pub(in crate::diffusion) struct VaeConfig {
    #[serde(rename = "_class_name")]
    class: Option<String>,
    block_out_channels: Option<Vec<u32>>,
    /// What `AutoencoderTiny` has instead.
    decoder_block_out_channels: Option<Vec<u32>>,
    /// Rows and columns of the pictures that it was trained on.
    sample_size: Option<SampleSize>,
    pub(in crate::diffusion) latent_channels: usize,
    scaling_factor: Option<f32>,
    pub(in crate::diffusion) shift_factor: Option<f32>,
    pub(in crate::diffusion) latents_mean: Option<Vec<f32>>,
    pub(in crate::diffusion) latents_std: Option<Vec<f32>>,
}

/// What diffusers' `ControlNetModel` has where the config says nothing.
fn layers_per_block() -> usize {
    2
}

/// The class of a VAE whose encoder gives latents and no distribution of them.
const TINY: &str = "AutoencoderTiny";

impl UnetConfig {
    pub(in crate::diffusion) fn read(folder: &Folder) -> Result<Self, Error> {
        let config: Self = match folder.lacks_configs() && folder.path(UNET).is_err() {
            true => Self::of_stable_diffusion_1(
                folder.class().contains("Inpaint") && !folder.class().ends_with("Legacy"),
            ),
            false => folder.json(UNET)?,
        };
        check_levels(UNET, &config.block_out_channels)?;
        check_count(UNET, "in_channels", config.in_channels, 2 * MAX_CHANNELS + 1)?;
        check_size(UNET, config.sample_size)?;
        if let Some(width) = config.time_cond_proj_dim {
            check_count(UNET, "time_cond_proj_dim", width, MAX_WIDTH)?;
        }
        Ok(config)
    }

    /// Whether it was written by a version of diffusers before that one.
    pub(in crate::diffusion) fn is_older_than(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.diffusers_version.iter().flat_map(|version| version.split('.'));
        let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
        next().zip(next()).is_some_and(|version| version < (major, minor))
    }

    /// What diffusers' own pipelines over ONNX take for granted.
    fn of_stable_diffusion_1(inpainting: bool) -> Self {
        Self {
            diffusers_version: None,
            in_channels: if inpainting { 9 } else { 4 },
            out_channels: Some(4),
            sample_size: Some(SampleSize::Square(64)),
            block_out_channels: vec![320, 640, 1280, 1280],
            time_cond_proj_dim: None,
            num_class_embeds: None,
        }
    }

    /// The latents' sides are multiples of this: the UNet halves them at each level, and an export
    /// has the sizes that it doubles them to built in as exact doubles.
    pub(in crate::diffusion) fn factor(&self) -> u32 {
        1 << (self.block_out_channels.len() - 1)
    }
}

impl ControlNetConfig {
    pub(in crate::diffusion) fn read(folder: &Folder, file: &str) -> Result<Self, Error> {
        let config: Self = folder.json(file)?;
        // Several of them are named as one.
        let named = folder.index().class_of(file.trim_end_matches("/config.json"));
        let named = named.filter(|class| *class != "MultiControlNetModel");
        let class = named.or(config.class.as_deref());
        if let Some(class) = class.filter(|class| *class != "ControlNetModel") {
            let what = match class.contains("Union") {
                true => "that steers by several kinds of picture and a control_mode, which",
                false => "which",
            };
            let reason = format!(
                "it is a {class}, {what} is not supported; put a ControlNetModel in its place, one \
                 for each kind of picture (python -m export.controlnet)"
            );
            return Err(bad(file, reason));
        }
        check_levels(file, &config.block_out_channels)?;
        if !(1..=64).contains(&config.layers_per_block) {
            return Err(bad(file, "layers_per_block must be 1 to 64".to_owned()));
        }
        Ok(config)
    }

    /// Channels of each residual, and how often its sides are halved: one of the sample, those of
    /// each block's layers and of its halving, the middle's last.
    pub(in crate::diffusion) fn residuals(&self) -> Vec<(usize, usize)> {
        let channels = |level: usize| self.block_out_channels[level] as usize;
        let last = self.block_out_channels.len() - 1;
        let mut residuals = vec![(channels(0), 0)];
        for level in 0..=last {
            residuals.extend(std::iter::repeat_n((channels(level), level), self.layers_per_block));
            if level < last {
                residuals.push((channels(level), level + 1));
            }
        }
        residuals.push((channels(last), last));
        residuals
    }
}

impl VaeConfig {
    pub(in crate::diffusion) fn read(folder: &Folder) -> Result<Self, Error> {
        let mut config: Self = match folder.lacks_configs() && folder.path(VAE).is_err() {
            true => Self::of_stable_diffusion_1(),
            false => folder.json(VAE)?,
        };
        // The index has the name that both halves had before the export.
        let named = ["vae_decoder", "vae"].into_iter().find_map(|it| folder.index().class_of(it));
        config.class = named.map(str::to_owned).or(config.class);
        check_levels(VAE, config.levels()?)?;
        check_count(VAE, "latent_channels", config.latent_channels, MAX_CHANNELS)?;
        check_size(VAE, config.sample_size)?;
        check_numbers(VAE, "scaling_factor", &[config.scaling_factor()], f32::is_normal)?;
        check_numbers(VAE, "shift_factor", config.shift_factor.as_slice(), f32::is_finite)?;
        for (key, list) in
            [("latents_mean", &config.latents_mean), ("latents_std", &config.latents_std)]
        {
            let wanted = config.latent_channels;
            if let Some(list) = list.as_ref().filter(|list| list.len() != wanted) {
                let reason = format!("{key} has {} entries, not {wanted}", list.len());
                return Err(bad(VAE, reason));
            }
        }
        let [mean, spread] = [&config.latents_mean, &config.latents_std]
            .map(|list| list.as_deref().unwrap_or_default());
        check_numbers(VAE, "latents_mean", mean, f32::is_finite)?;
        check_numbers(VAE, "latents_std", spread, f32::is_normal)?;
        Ok(config)
    }

    /// What diffusers' own pipelines over ONNX take for granted.
    fn of_stable_diffusion_1() -> Self {
        Self {
            block_out_channels: Some(vec![128, 256, 512, 512]),
            decoder_block_out_channels: None,
            class: None,
            sample_size: None,
            latent_channels: 4,
            scaling_factor: None,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
        }
    }

    /// Whether its decoder takes a mask and what is masked besides; no export has those inputs.
    pub(in crate::diffusion) fn decodes_masks(&self) -> bool {
        self.class.as_deref() == Some("AsymmetricAutoencoderKL")
    }

    /// The shorter side of the pictures that it was trained on.
    pub(in crate::diffusion) fn sample_size(&self) -> Option<u32> {
        let [height, width] = self.sample_size?.height_width();
        Some(height.min(width))
    }

    /// What latents are multiplied with after encoding; what its class has in diffusers where the
    /// config says nothing.
    pub(in crate::diffusion) fn scaling_factor(&self) -> f32 {
        let usual = if self.class.as_deref() == Some(TINY) { 1.0 } else { 0.18215 };
        self.scaling_factor.unwrap_or(usual)
    }

    /// The channels of each level.
    fn levels(&self) -> Result<&[u32], Error> {
        let levels = self.block_out_channels.as_ref().or(self.decoder_block_out_channels.as_ref());
        levels.map(Vec::as_slice).ok_or_else(|| {
            let class = self.class.as_deref().unwrap_or("a class that isn't named");
            let reason = format!(
                "block_out_channels is missing, so it isn't known how much the VAE shrinks a \
                 picture: it is of {}; known: AutoencoderKL, AsymmetricAutoencoderKL, {TINY}",
                brief(class.to_owned(), VALUE)
            );
            bad(VAE, reason)
        })
    }

    /// Pixels of one latent cell's side.
    pub(in crate::diffusion) fn cell(&self) -> u32 {
        let levels = self.levels().map_or(1, <[u32]>::len);
        1 << (levels - 1)
    }
}

/// The folder's `scheduler/scheduler_config.json`, as the class that `model_index.json` names reads
/// it.
pub(in crate::diffusion) fn scheduler_config(
    reader: &Reader<'_>,
) -> Result<SchedulerConfig, Error> {
    let folder = reader.folder();
    let class = folder.index().class_of(SCHEDULER);
    let config = SchedulerConfig::read(&folder.text(SCHEDULER_CONFIG)?, class);
    let config = config.map_err(Error::Scheduler)?;
    config.warnings().iter().for_each(|warning| reader.warn(warning));
    Ok(config)
}

/// Refuses a count that no model has, before anything is made of that size.
pub(in crate::diffusion) fn check_count(
    file: &str,
    key: &str,
    count: usize,
    most: usize,
) -> Result<(), Error> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(bad(file, format!("{key} {count} is not 1 to {most}; restore the file from the export")))
}

/// The same of a size in latent cells or pixels.
pub(in crate::diffusion) fn check_size(file: &str, size: Option<SampleSize>) -> Result<(), Error> {
    let sides = size.map(SampleSize::height_width);
    let mut sides = sides.iter().flatten();
    sides.try_for_each(|&side| check_count(file, "sample_size", side as usize, MAX_SIDE as usize))
}

/// Refuses numbers that no latent can be multiplied with, or moved by.
fn check_numbers(
    file: &str,
    key: &str,
    numbers: &[f32],
    fits: impl Fn(f32) -> bool,
) -> Result<(), Error> {
    numbers.iter().find(|number| !fits(**number)).map_or(Ok(()), |number| {
        let reason = format!("{key} {number} is of no use; restore the file from the export");
        Err(bad(file, reason))
    })
}

fn check_levels(file: &str, levels: &[u32]) -> Result<(), Error> {
    if (1..=8).contains(&levels.len()) {
        return Ok(());
    }
    Err(bad(file, "block_out_channels must have 1 to 8 entries".to_owned()))
}

/// A component, or a file of it, that can't be used.
pub(in crate::diffusion) fn bad(place: &str, reason: String) -> Error {
    Error::Model { place: place.to_owned(), reason }
}
