//! Models without words, in pixels: DDPM, DDIM and consistency models, unconditional or by class.
//!
//! Ho et al., Denoising Diffusion Probabilistic Models (2020); Song et al., Denoising Diffusion
//! Implicit Models (2021); Song et al., Consistency Models (2023). As diffusers' `DDPMPipeline`,
//! `DDIMPipeline` and `ConsistencyModelPipeline` do it; one UNet, no VAE. What optimum can't export
//! `tools/export` does.

use std::time::Duration;

use hearth_api::request::Task;

use crate::blueprint::{Draft, Family, Reader, plain};
use crate::diffusion::components::{
    DenoiserSpec, Ports, SampleSize, UnetConfig, adapter_names, bad, scheduler_config,
};
use crate::diffusion::conditioning::{Conditioner, Conditioning};
use crate::diffusion::design::Design;
use crate::diffusion::facts::Facts;
use crate::diffusion::family::PictureFamily;
use crate::diffusion::schedule::{Objective, Schedule};
use crate::diffusion::settings::Settings;
use crate::model::{Defaults, Error};
use crate::session::{Interrupt, Session};

/// A UNet in pixels without words, unconditional or by class.
pub(in crate::diffusion) static FAMILY: PictureFamily = PictureFamily::of(
    Family {
        name: "unconditional",
        classes: &["DDPMPipeline", "DDIMPipeline", "ConsistencyModelPipeline"],
        tasks: &[Task::General],
        read,
    },
    defaults,
);

const LABELS: &str = "class_labels";
const PORTS: Ports = Ports { required: &[], optional: &[LABELS], ..Ports::UNET };
const UNET: &str = "unet/config.json";
/// Pixels of a side where the config doesn't say.
const SIDE: u32 = 32;

fn defaults(class: &str, task: Task) -> Defaults {
    let num_inference_steps = match plain(class).as_str() {
        "ConsistencyModelPipeline" => 1,
        "DDIMPipeline" => 50,
        _ => 1000,
    };
    Defaults { task, num_inference_steps, guidance_scale: 1.0, strength: None }
}

/// Reads the folder's UNet.
fn read(reader: &Reader<'_>) -> Result<Draft, Error> {
    let folder = reader.folder();
    reader.refuse_vae_tiling()?;
    let unet = UnetConfig::read(folder)?;
    let channels = unet.in_channels;
    let out = unet.out_channels.unwrap_or(channels);
    if !matches!(channels, 1 | 3) || !(out == channels || out == 2 * channels) {
        let reason = "in_channels must be 3, or 1 for grey pictures, and out_channels the same, or \
                      twice that where the variance is predicted too";
        return Err(bad(UNET, reason.to_owned()));
    }
    let consistency = folder.class().ends_with("ConsistencyModelPipeline");
    let objective = if consistency { Objective::Consistency } else { Objective::Diffusion };
    let mut config = scheduler_config(reader)?;
    if folder.class().ends_with("DDIMPipeline") {
        // diffusers' pipeline of that name takes a DDPM scheduler's values, and no other rule.
        config = config.of_class("DDIMScheduler");
    }
    let schedule = Schedule { objective, variance: out == 2 * channels, ..Schedule::of(config) };
    reader.expect(&["unet"], &["scheduler"]);
    let denoiser =
        DenoiserSpec::read(reader, PORTS, channels).unguided(reader).giving(out / channels);
    let classes = match (denoiser.input(LABELS), unet.num_class_embeds) {
        (None, _) => None,
        (Some(_), Some(classes)) if classes > 0 => Some(classes),
        (Some(_), _) => {
            let reason = format!("num_class_embeds is missing, but the graph has input {LABELS}");
            return Err(bad(UNET, reason));
        }
    };
    let fixed = denoiser.fixed_size();
    let size = fixed.or(unet.sample_size.map(SampleSize::height_width)).unwrap_or([SIDE; 2]);
    let facts = Facts {
        family: &FAMILY,
        schedule,
        tasks: FAMILY.family.tasks.to_vec(),
        // diffusers' other classes of this kind draw their noise themselves
        fields: if consistency { vec!["latents"] } else { Vec::new() },
        size,
        size_factor: unet.factor(),
        fixed_size: fixed.is_some(),
        smallest: 0,
        max_prompt_tokens: 0,
        sequence_length: None,
        sequence_is_built_in: false,
        max_prompt_chunks: 1,
        max_clip_skip: 0,
        classes,
        lora: adapter_names([denoiser.adapters()]),
        controlnets: Vec::new(),
        cell: 1,
        latent_channels: channels,
        batch: denoiser.batch(),
        zeros_without_negative: false,
        longest: None,
    };
    let has = classes.is_some();
    let conditioner =
        Box::new(move |_: &mut _| Ok(Box::new(Class { has }) as Box<dyn Conditioner>));
    Design { facts, conditioner, denoiser, vae: None, inpainting_model: false }.draft(reader)
}

/// The class to show, for models that know some.
struct Class {
    has: bool,
}

impl Conditioner for Class {
    fn condition(
        &mut self,
        settings: &Settings,
        _warnings: &mut Vec<String>,
        _interrupt: &Interrupt,
    ) -> Result<Conditioning, Error> {
        let mut conditioning = Conditioning::new(1, 1.0, 0.0);
        if self.has {
            let label = settings.request.class_labels.unwrap_or(0);
            conditioning.push(LABELS, &[], vec![label as f32]);
        }
        Ok(conditioning)
    }

    fn busy(&self) -> Duration {
        Duration::ZERO
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        Vec::new()
    }
}
