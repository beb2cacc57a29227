//! What a family knows of a loaded model, made into its description.

use std::sync::Arc;

use hearth_api::GenerationRequest;
use hearth_api::request::Task;
use hearth_media::Image;

use super::components;
use super::family::PictureFamily;
use super::request::PictureRequest;
use super::rules::{MAX_PROMPT_CHARS, Rules};
use super::schedule::Schedule;
use crate::blueprint::Reader;
use crate::blueprint::folder::{Folder, MAX_SIDE};
use crate::model::{Defaults, Description, Error, Invalid, Pictures, SequenceLength};
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
pub(super) struct Facts {
    pub(super) family: &'static PictureFamily,
    pub(super) schedule: Schedule,
    pub(super) tasks: Vec<Task>,
    pub(super) fields: Vec<&'static str>,
    /// Rows and columns of a picture, in pixels, if the request says nothing.
    pub(super) size: [u32; 2],
    pub(super) size_factor: u32,
    pub(super) fixed_size: bool,
    /// The shortest side, in pixels, where graphs can't make less; else 0.
    pub(super) smallest: u32,
    pub(super) max_prompt_tokens: usize,
    pub(super) sequence_length: Option<SequenceLength>,
    /// The graphs take so many of T5's tokens and no other number.
    pub(super) sequence_is_built_in: bool,
    pub(super) max_prompt_chunks: u32,
    pub(super) max_clip_skip: u32,
    pub(super) classes: Option<u32>,
    /// Names of LoRA adapters.
    pub(super) lora: Vec<String>,
    /// The components that are ControlNets.
    pub(super) controlnets: Vec<String>,
    pub(super) cell: u32,
    pub(super) latent_channels: usize,
    /// How many copies of the sample the denoiser takes at once, where that is built in.
    pub(super) batch: Option<usize>,
    /// Zeros stand for a negative prompt that isn't given.
    pub(super) zeros_without_negative: bool,
    /// The longest side that the graphs can make, in pixels, where they say one.
    pub(super) longest: Option<u32>,
}

impl Facts {
    /// The description, and what requests are checked against; what the folder's `hearth.json` says
    /// comes first.
    ///
    /// # Errors
    /// Defaults that the model can't meet.
    pub(super) fn describe(self, reader: &Reader<'_>) -> Result<(Description, Rules), Error> {
        let (folder, own) = (reader.folder(), reader.folder().defaults());
        let smallest = self.smallest.next_multiple_of(self.size_factor.max(1));
        let [default_height, default_width] = self.default_size(folder, smallest)?;
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
        let defaults = self.defaults(folder, &fields, self.family.defaults);
        let control_defaults = match self.controlnets.is_empty() {
            true => Vec::new(),
            false => self.defaults(folder, &fields, self.family.controlled),
        };
        if defaults.iter().any(|defaults| defaults.strength.is_some()) {
            fields.extend(["image", "strength"]);
            if self.tasks.contains(&Task::Inpainting) {
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
        let most = own.max_size.unwrap_or(SMALL.max(2 * default_width.max(default_height)));
        let pictures = Pictures {
            tasks: self.tasks,
            fields,
            default_width,
            default_height,
            size_factor: self.size_factor,
            max_size: most.min(self.longest.unwrap_or(u32::MAX)),
            fixed_size: self.fixed_size,
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
            latent_channels: self.latent_channels,
        };
        let mut rules = Rules {
            family: self.family,
            pictures,
            control_defaults,
            smallest,
            cell: self.cell,
            batch: self.batch,
            sequence_is_built_in: self.sequence_is_built_in,
            zeros_without_negative: self.zeros_without_negative,
            schedule: self.schedule,
            warms_up_whole: reader.device() != Device::Cpu || self.fixed_size,
        };
        let fits = |name| rules.check(&rules.plain(name)).is_ok();
        let names = schedulers::table().into_iter().map(|row| row.name);
        rules.pictures.schedulers = names.filter(|name| fits(Some(name))).collect();
        if let Err(invalid) = rules.check(&rules.plain(None))
            && DEFAULTS.contains(&invalid.field)
        {
            return unmet(folder, &invalid);
        }
        let description = Description {
            family: self.family.family.name,
            device: reader.device().to_string(),
            weight_bytes: reader.weight_bytes(),
            digest: String::new(),
            graphs: reader.graph_names(),
            pictures: Some(rules.pictures.clone()),
        };
        Ok((description, rules))
    }

    /// Rows and columns of a picture if the request says nothing: the folder's own, or those of the
    /// configs, brought to what can be made.
    fn default_size(&self, folder: &Folder, smallest: u32) -> Result<[u32; 2], Error> {
        let own = folder.defaults();
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
            return Err(components::bad(HEARTH, reason));
        }
        if size.iter().any(|side| *side > MAX_SIDE) {
            let reason = format!(
                "with its sample_size pictures would be of {}x{} pixels, and {MAX_SIDE} is the \
                 longest side; mend it, or set width and height in {HEARTH}",
                size[1], size[0]
            );
            let has_transformer = folder.root().join("transformer").is_dir();
            let component = if has_transformer { "transformer" } else { "unet" };
            return Err(components::bad(&format!("{component}/config.json"), reason));
        }
        Ok(size.map(|side| side.max(smallest)))
    }

    /// The defaults of each task: the folder's own, or else those that diffusers has.
    fn defaults(
        &self,
        folder: &Folder,
        fields: &[&str],
        diffusers: fn(&str, Task) -> Defaults,
    ) -> Vec<Defaults> {
        let own = folder.defaults();
        let most = self.schedule.config.num_train_timesteps();
        let of = |task: &Task| {
            let usual = diffusers(folder.class(), *task);
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
    Err(components::bad(place, invalid.to_string()))
}

impl Rules {
    /// A request that says no more than it must, with the scheduler of that name.
    pub(super) fn plain(&self, scheduler: Option<&str>) -> PictureRequest {
        let words = if self.pictures.max_prompt_tokens > 0 { "warm-up" } else { "" };
        let makes = |task: &Task| matches!(task, Task::TextToImage | Task::General);
        let from_picture = !self.pictures.tasks.iter().any(makes);
        let picture = from_picture.then(|| self.grey());
        let side = |side: u32| from_picture.then_some(side);
        let fields = GenerationRequest {
            width: side(self.pictures.default_width),
            height: side(self.pictures.default_height),
            strength: from_picture.then_some(1.0),
            prompt: words.to_owned(),
            class_labels: self.pictures.classes.map(|_| 0),
            ..GenerationRequest::default()
        };
        PictureRequest {
            fields: Arc::new(fields),
            mask_image: picture.clone().filter(|_| self.pictures.tasks == [Task::Inpainting]),
            image: picture,
            scheduler: scheduler.and_then(|name| SchedulerSpec::parse(name).ok()),
            ..PictureRequest::default()
        }
    }

    /// A picture of no content, of the default size or a small one: it is made to fit.
    pub(super) fn grey(&self) -> Arc<Image> {
        let [width, height] =
            [self.pictures.default_width, self.pictures.default_height].map(|side| side.min(GREY));
        let rgb = vec![128; width as usize * height as usize * 3];
        Arc::new(Image { width, height, rgb })
    }
}
