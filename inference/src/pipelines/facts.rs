//! What a family knows of a loaded model, made into its description.

use std::sync::Arc;

use hearth_media::Image;

use super::defaults::Defaults;
use super::description::SequenceLength;
use super::schedule::Schedule;
use super::{Description, Error, Generation, Invalid, MAX_PROMPT_CHARS};
use crate::folder::{Family, Folder, MAX_SIDE};
use crate::pipelines::parts::{self, Files};
use crate::schedulers::{self, SchedulerSpec};
use crate::session::Device;

/// Sides up to this are accepted whatever the default, so that toy models can be tried at
/// other sizes; larger models can afford it anyway.
const SMALL: u32 = 128;

/// What a folder's own defaults are in.
const HEARTH: &str = "hearth.json";
/// Fields that have a default of the model's.
const DEFAULTS: [&str; 4] = ["width", "height", "num_inference_steps", "guidance_scale"];
/// Pixels of a side of a picture that has no content.
const GREY: u32 = 512;

/// The fields of requests to models with ControlNets.
const CONTROL_FIELDS: [&str; 5] = [
    "control_image",
    "controlnet_conditioning_scale",
    "control_guidance_start",
    "control_guidance_end",
    "guess_mode",
];

/// What a description is made of.
pub(super) struct Facts<'a> {
    pub(super) folder: &'a Folder,
    pub(super) device: Device,
    pub(super) files: Files,
    pub(super) schedule: Schedule,
    pub(super) tasks: Vec<&'static str>,
    pub(super) fields: Vec<&'static str>,
    /// Rows and columns of a picture, in pixels, if the request says nothing.
    pub(super) size: [u32; 2],
    pub(super) size_factor: u32,
    pub(super) fixed_size: bool,
    /// The shortest side, in pixels, where graphs can't make less; else 0.
    pub(super) smallest: u32,
    pub(super) max_prompt_tokens: usize,
    pub(super) sequence_length: Option<SequenceLength>,
    pub(super) max_prompt_chunks: u32,
    pub(super) max_clip_skip: u32,
    pub(super) classes: Option<u32>,
    /// Names of LoRA adapters.
    pub(super) lora: Vec<String>,
    /// The parts that are ControlNets.
    pub(super) controlnets: Vec<String>,
    pub(super) cell: u32,
    pub(super) latent_channels: usize,
}

impl Facts<'_> {
    /// The description; what the folder's `hearth.json` says comes first.
    ///
    /// # Errors
    /// Defaults that the model can't meet.
    pub(super) fn describe(self) -> Result<Description, Error> {
        let (folder, own) = (self.folder, self.folder.defaults());
        let smallest = self.smallest.next_multiple_of(self.size_factor.max(1));
        let [default_height, default_width] = self.default_size(smallest)?;
        let mut fields = self.fields.clone();
        if self.max_prompt_chunks > 1 {
            fields.push("long_prompt");
        }
        if self.max_clip_skip > 0 {
            fields.push("clip_skip");
        }
        if self.sequence_length.is_some() {
            fields.push("max_sequence_length");
        }
        let defaults = self.defaults(&fields, Defaults::of);
        let control_defaults = match self.controlnets.is_empty() {
            true => Vec::new(),
            false => self.defaults(&fields, Defaults::controlled),
        };
        if defaults.iter().any(|defaults| defaults.strength.is_some()) {
            fields.extend(["image", "strength"]);
            if self.tasks.contains(&"inpainting") {
                fields.push("mask_image");
            }
        }
        if !self.controlnets.is_empty() {
            fields.extend(CONTROL_FIELDS);
        }
        if self.classes.is_some() {
            fields.push("class_labels");
        }
        if !self.lora.is_empty() {
            fields.push("lora");
        }
        let mut description = Description {
            family: self.folder.family(),
            tasks: self.tasks,
            fields,
            device: self.device.to_string(),
            default_width,
            default_height,
            size_factor: self.size_factor,
            max_size: own.max_size.unwrap_or(SMALL.max(2 * default_width.max(default_height))),
            fixed_size: self.fixed_size,
            smallest,
            default_steps: defaults.first().map_or(0, |first| first.num_inference_steps),
            max_steps: self.schedule.config.num_train_timesteps(),
            default_guidance_scale: defaults.first().map_or(0.0, |first| first.guidance_scale),
            scheduler: self.schedule.config.class_name().to_owned(),
            schedulers: Vec::new(),
            max_prompt_tokens: self.max_prompt_tokens,
            max_prompt_chars: MAX_PROMPT_CHARS,
            sequence_length: self.sequence_length,
            max_prompt_chunks: self.max_prompt_chunks,
            max_clip_skip: self.max_clip_skip,
            classes: self.classes,
            lora: self.lora,
            controlnets: self.controlnets,
            defaults,
            control_defaults,
            cell: self.cell,
            zeros_without_negative: false,
            latent_channels: self.latent_channels,
            weight_bytes: self.files.bytes,
            digest: self.files.contents.digest,
            schedule: self.schedule,
        };
        let fits = |name| description.check(&description.plain(name)).is_ok();
        let names = schedulers::table().into_iter().map(|row| row.name);
        description.schedulers = names.filter(|name| fits(Some(name))).collect();
        match description.check(&description.plain(None)) {
            Err(invalid) if DEFAULTS.contains(&invalid.field) => unmet(folder, &invalid),
            _ => Ok(description),
        }
    }

    /// Rows and columns of a picture if the request says nothing: the folder's own, or those of the
    /// configs, brought to what can be made.
    fn default_size(&self, smallest: u32) -> Result<[u32; 2], Error> {
        let own = self.folder.defaults();
        let factor = if self.fixed_size { 1 } else { self.size_factor.max(1) };
        let fitted = |side: u32| match side {
            0 => 0,
            side => (side - side % factor).max(factor),
        };
        let [height, width] = self.size.map(fitted);
        let size = [own.height.unwrap_or(height), own.width.unwrap_or(width)];
        if self.fixed_size && size != [height, width] {
            let reason = format!(
                "width and height are {}x{}, but the export has {width}x{height} built in; leave \
                 them out",
                size[1], size[0]
            );
            return Err(parts::bad(HEARTH, reason));
        }
        if size.iter().any(|side| *side > MAX_SIDE) {
            let reason = format!(
                "with its sample_size pictures would be of {}x{} pixels, and {MAX_SIDE} is the \
                 longest side; mend it, or set width and height in {HEARTH}",
                size[1], size[0]
            );
            let has_transformer = self.folder.root().join("transformer").is_dir();
            let part = if has_transformer { "transformer" } else { "unet" };
            return Err(parts::bad(&format!("{part}/config.json"), reason));
        }
        Ok(size.map(|side| side.max(smallest)))
    }

    /// The defaults of each task: the folder's own, or else those that diffusers has.
    fn defaults(
        &self,
        fields: &[&str],
        diffusers: fn(Family, &str, &'static str) -> Defaults,
    ) -> Vec<Defaults> {
        let own = self.folder.defaults();
        let most = self.schedule.config.num_train_timesteps();
        let of = |task: &&'static str| {
            let usual = diffusers(self.folder.family(), self.folder.class(), task);
            let guidance_scale = match fields.contains(&"guidance_scale") {
                true => own.guidance_scale.unwrap_or(usual.guidance_scale),
                false => 1.0,
            };
            let steps = own.num_inference_steps.unwrap_or(usual.num_inference_steps.min(most));
            Defaults { num_inference_steps: steps, guidance_scale, ..usual }
        };
        self.tasks.iter().map(of).collect()
    }
}

/// A default that no request could have.
fn unmet<T>(folder: &Folder, invalid: &Invalid) -> Result<T, Error> {
    let own = folder.defaults();
    let said = match invalid.field {
        "width" => own.width.or(own.max_size).is_some(),
        "height" => own.height.or(own.max_size).is_some(),
        "num_inference_steps" => own.num_inference_steps.is_some(),
        _ => own.guidance_scale.is_some(),
    };
    let place = if said { HEARTH } else { "the model's defaults" };
    Err(parts::bad(place, invalid.to_string()))
}

impl Description {
    /// A request that says no more than it must, with the scheduler of that name.
    pub(super) fn plain(&self, scheduler: Option<&str>) -> Generation {
        let words = if self.max_prompt_tokens > 0 { "warm-up" } else { "" };
        let makes = |task: &&str| matches!(*task, "text-to-image" | "general");
        let from_picture = !self.tasks.iter().any(makes);
        let picture = from_picture.then(|| self.grey());
        let side = |side: u32| from_picture.then_some(side);
        Generation {
            width: side(self.default_width),
            height: side(self.default_height),
            strength: from_picture.then_some(1.0),
            mask_image: picture.clone().filter(|_| self.tasks == ["inpainting"]),
            image: picture,
            prompt: words.to_owned(),
            class_labels: self.classes.map(|_| 0),
            scheduler: scheduler.and_then(|name| SchedulerSpec::parse(name).ok()),
            ..Generation::default()
        }
    }

    /// A picture of no content, of the default size or a small one: it is made to fit.
    pub(super) fn grey(&self) -> Arc<Image> {
        let [width, height] = [self.default_width, self.default_height].map(|side| side.min(GREY));
        let rgb = vec![128; width as usize * height as usize * 3];
        Arc::new(Image { width, height, rgb })
    }
}
