//! Whether a request fits a model: every field is checked before any compute.

mod combinations;
mod control;
pub(super) mod lora;
mod pictures;

use std::ops::Range;
use std::sync::Arc;

use hearth_api::request::Task;

use super::components::Syntax;
use super::quoted::quoted;
use super::request::PictureRequest;
use super::rules::{MAX_PROMPT_CHARS, Rules};
use super::settings::{Settings, single};
use crate::model::Invalid;
use crate::schedulers::Scheduler;

/// Guidance scales beyond this are mistakes; the usual ones are 1 to 20.
const MAX_GUIDANCE: f32 = 1000.0;
/// What is said where the text encoder lacks outputs.
const NO_LAYERS: &str = "this model's text encoder gives its last layer only; add the others with \
                         Hearth's tools (python -m export.clip_skip FOLDER), or leave it out";
/// What is said where no picture can be encoded.
const NO_ENCODER: &str = "this folder has no vae_encoder that a picture can start from; export the \
                          model again to start from pictures, or leave it out";
/// What is said where the VAE is an asymmetric one.
const NO_MASK: &str = "this model's VAE (AsymmetricAutoencoderKL) takes a mask in its decoder, \
                       which exports don't have; take a model with another VAE, or leave it out";
/// What is said where the denoiser's graph takes prompts of one length.
const FIXED_LENGTH: &str = "this export has the length of a prompt built in; leave it out, or \
                            export the denoiser with an open sequence axis";
/// The scale that beauty is scored on ends at 10.
const MAX_SCORE: f32 = 10.0;
/// Pixels of a side in size conditions; photographs have less.
const MAX_CONDITION: u32 = 100_000;

/// A request that was checked, and its schedule.
pub(super) struct CheckedRequest {
    pub(super) settings: Settings,
    pub(super) scheduler: Scheduler,
    /// The scheduler's calls that a picture takes.
    pub(super) calls: Range<usize>,
}

impl Rules {
    /// Checks all of a request, fills in the defaults and builds its schedule: whether a scheduler
    /// takes these steps and overrides is known by building it.
    ///
    /// # Errors
    /// The first field that can't be used.
    pub(super) fn check(&self, request: &PictureRequest) -> Result<CheckedRequest, Invalid> {
        self.check_task(request)?;
        self.check_prompts(request)?;
        self.check_fields(request)?;
        self.check_combinations(request)?;
        self.check_lora(&request.lora)?;
        let strength = self.check_pictures(request)?;
        self.check_control(request)?;
        let (width, height) = self.size(request)?;
        self.check_latents(request, [width, height])?;
        let num_inference_steps = self.steps(request)?;
        let default = self.task_defaults(request).map_or(1.0, |defaults| defaults.guidance_scale);
        let guidance_scale = request.guidance_scale.map_or(default, single);
        let eta = request.eta.map_or(0.0, single);
        for (field, value, max) in [
            ("guidance_scale", guidance_scale, MAX_GUIDANCE),
            ("true_cfg_scale", request.true_cfg_scale.map_or(1.0, single), MAX_GUIDANCE),
            ("guidance_rescale", request.guidance_rescale.map_or(0.0, single), 1.0),
            ("eta", eta, 1.0),
            ("aesthetic_score", request.aesthetic_score.map_or(0.0, single), MAX_SCORE),
            (
                "negative_aesthetic_score",
                request.negative_aesthetic_score.map_or(0.0, single),
                MAX_SCORE,
            ),
        ] {
            if !(0.0..=max).contains(&value) {
                return Err(Invalid::new(field, &value, format!("give a number from 0 to {max}")));
            }
        }
        if self.batch == Some(2) && !self.guides(request, guidance_scale) {
            return Err(self.needs_guidance(guidance_scale));
        }
        self.check_interval(request)?;
        for (field, share) in
            [("denoising_start", request.denoising_start), ("denoising_end", request.denoising_end)]
        {
            if let Some(share) = share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
                return Err(Invalid::new(field, &share, "give a number above 0, up to 1"));
            }
        }
        let scheduler = match &request.scheduler {
            Some(spec) => spec.to_string(),
            None => self.pictures.scheduler.clone(),
        };
        let mut settings = Settings {
            request: Arc::clone(&request.fields),
            negative_prompt: request.negative_prompt.clone().unwrap_or_default(),
            width,
            height,
            num_inference_steps,
            guidance_scale,
            scheduler,
            spec: request.scheduler.clone(),
            eta,
            strength,
            from_picture: request.starts_from_picture(),
            fills: request.mask_image.is_some(),
            controls: request.control_image.len(),
            ends_in_latents: request.ends_in_latents(),
        };
        let scheduler = self.schedule.build(&settings)?;
        let calls = self.schedule.calls(&settings, scheduler.schedule())?;
        if request.sigmas.is_some() {
            // Whether the level that the run ends at is in the list depends on the scheduler.
            let schedule = scheduler.schedule();
            let steps = schedule.timesteps().len().div_ceil(schedule.order());
            settings.num_inference_steps = u32::try_from(steps).unwrap_or(u32::MAX);
        }
        Ok(CheckedRequest { settings, scheduler, calls })
    }

    /// Checks from where to where in the run there is guidance.
    fn check_interval(&self, request: &PictureRequest) -> Result<(), Invalid> {
        let Some([from, to]) = request.guidance_interval else { return Ok(()) };
        let message = if !(0.0 <= from && from < to && to <= 1.0) {
            "give two shares of the run, 0 to 1, the smaller first"
        } else if self.batch == Some(2) && [from, to] != [0.0, 1.0] {
            "this export has a batch of 2 built in, as guidance takes it at every step; leave it out, \
             or export the model with an open batch axis"
        } else {
            return Ok(());
        };
        Err(Invalid::new("guidance_interval", &format!("[{from}, {to}]"), message))
    }

    /// What is said to a request without guidance where the denoiser takes two copies and no less.
    fn needs_guidance(&self, guidance_scale: f32) -> Invalid {
        const REMEDY: &str = "or export the model with an open batch axis";
        let built_in = "this export has a batch of 2 built in, as guidance takes it";
        match self.family.takes_guidance_as_input {
            true => {
                let message = format!("{built_in}: give a negative_prompt with it, {REMEDY}");
                Invalid::new("true_cfg_scale", &"1", message)
            }
            false => {
                let message = format!("{built_in}: give more than 1, {REMEDY}");
                Invalid::new("guidance_scale", &guidance_scale, message)
            }
        }
    }

    /// Refuses fields that ask for another task than the one that is named.
    fn check_task(&self, request: &PictureRequest) -> Result<(), Invalid> {
        let Some(task) = request.task else { return Ok(()) };
        let (tasks, asked) = (&self.pictures.tasks, self.task(request));
        let message = match task {
            _ if !tasks.contains(&task) => {
                let known = self.task_names();
                format!("task {task} is not among this model's: use {known}")
            }
            _ if task == asked => return Ok(()),
            task => {
                let remedy = match task {
                    Task::ImageToImage => "give an image, and no mask",
                    Task::Inpainting => "give an image and a mask",
                    Task::TextToImage | Task::TextToAudio | Task::TextToSpeech | Task::General => {
                        "give neither image nor mask"
                    }
                };
                format!("task {task} doesn't go with these fields, they ask for {asked}: {remedy}")
            }
        };
        Err(Invalid { field: "task", message })
    }

    fn check_prompts(&self, request: &PictureRequest) -> Result<(), Invalid> {
        let words = self.pictures.max_prompt_tokens > 0;
        if !words && !request.prompt.trim().is_empty() {
            let message = "this model knows no words; leave the prompt empty";
            return Err(Invalid::new("prompt", &quoted(&request.prompt), message));
        }
        let syntax = Syntax::of(request);
        for (field, text) in [
            ("prompt", Some(&request.prompt)),
            ("prompt_2", request.prompt_2.as_ref()),
            ("prompt_3", request.prompt_3.as_ref()),
            ("negative_prompt", request.negative_prompt.as_ref()),
            ("negative_prompt_2", request.negative_prompt_2.as_ref()),
            ("negative_prompt_3", request.negative_prompt_3.as_ref()),
        ] {
            let Some(text) = text else { continue };
            check_text(field, text)?;
            syntax.pieces(field, text)?;
        }
        Ok(())
    }

    /// Refuses what the model has no use for, and checks the ranges that depend on the model.
    fn check_fields(&self, request: &PictureRequest) -> Result<(), Invalid> {
        if let Some(skip) = request.clip_skip.filter(|&skip| skip > self.pictures.max_clip_skip) {
            let message = match self.pictures.max_clip_skip {
                0 => NO_LAYERS.to_owned(),
                max => format!("give 0 to {max}"),
            };
            return Err(Invalid::new("clip_skip", &skip, message));
        }
        if request.long_prompt.unwrap_or_default()
            && self.pictures.max_prompt_chunks == 1
            && self.has("prompt_weights")
        {
            return Err(Invalid::new("long_prompt", &true, FIXED_LENGTH));
        }
        for (field, value) in request.given() {
            // Nothing is asked for by a negative prompt of no words; and Flux schnell is asked for
            // a guidance scale everywhere, which is warned of.
            let idle = (field == "negative_prompt" && value == "\"\"")
                || (field == "guidance_scale" && self.family.takes_guidance_as_input);
            if !self.has(field) && !idle {
                let control = field.starts_with("control") || field == "guess_mode";
                let task =
                    if field == "mask_image" { Task::Inpainting } else { Task::ImageToImage };
                let picture = matches!(field, "image" | "mask_image" | "strength")
                    && self.family.family.tasks.contains(&task);
                let message = match (control, picture) {
                    (true, _) => control::none(self.family),
                    (_, true) if self.has("image") => NO_MASK.to_owned(),
                    (_, true) => NO_ENCODER.to_owned(),
                    _ => format!(
                        "{} models have no use for it; leave it out",
                        self.family.family.name
                    ),
                };
                return Err(Invalid::new(field, &value, message));
            }
        }
        if let (Some(length), Some(limits)) =
            (request.max_sequence_length, self.pictures.sequence_length)
        {
            let message = match self.sequence_is_built_in {
                true if length != limits.max => {
                    format!(
                        "this export has {} tokens built in; give that, or leave it out",
                        limits.max
                    )
                }
                false if !(1..=limits.max).contains(&length) => format!("give 1 to {}", limits.max),
                _ => return self.check_conditions_and_class(request),
            };
            return Err(Invalid::new("max_sequence_length", &length, message));
        }
        self.check_conditions_and_class(request)
    }

    fn check_conditions_and_class(&self, request: &PictureRequest) -> Result<(), Invalid> {
        check_conditions(request)?;
        match (self.pictures.classes, request.class_labels) {
            (Some(classes), Some(label)) if label >= classes => {
                let message = format!("give 0 to {}", classes - 1);
                Err(Invalid::new("class_labels", &label, message))
            }
            (Some(classes), None) => {
                let message = format!("say which class to show, 0 to {}", classes - 1);
                Err(Invalid::new("class_labels", &"none", message))
            }
            _ => Ok(()),
        }
    }

    /// The picture's size: the request's, that of the image or latents it brings (an image's rounded
    /// down to what the model can make), or the model's own.
    fn size(&self, request: &PictureRequest) -> Result<(u32, u32), Invalid> {
        let own = |side: u32| {
            Some((side - side % self.pictures.size_factor).max(self.pictures.size_factor))
        };
        let image = request.image.as_ref().or(request.control_image.first());
        let image = image.filter(|_| !self.pictures.fixed_size);
        let latents = request.image_latents.as_ref().or(request.latents.as_ref());
        let cells = latents.and_then(|latents| latents.size(self.pictures.latent_channels));
        let pixels = |cells: usize| u32::try_from(cells).ok()?.checked_mul(self.cell);
        let [rows, columns] = match cells {
            Some([rows, columns]) => [pixels(rows), pixels(columns)],
            None => [None, None],
        };
        let width = request.width.or(columns).or(image.and_then(|image| own(image.width)));
        let height = request.height.or(rows).or(image.and_then(|image| own(image.height)));
        let check = |field, value: Option<u32>, default: u32| {
            let (factor, max) = (self.pictures.size_factor, self.pictures.max_size);
            let mut size = value.unwrap_or(default);
            if self.family.rounds_sizes && !self.pictures.fixed_size {
                size -= size % factor;
            }
            if size == 0 || size > max || size < self.smallest {
                let smallest = self.smallest.max(factor);
                return Err(Invalid::new(field, &size, format!("give {smallest} to {max} pixels")));
            }
            if !size.is_multiple_of(factor) {
                let below = (size / factor * factor).max(factor);
                let over = size.saturating_sub(below);
                let nearest = if over > factor / 2 { below + factor } else { below };
                let nearest = nearest.min(max / factor * factor);
                let message = format!("not a multiple of {factor}; the nearest one is {nearest}");
                return Err(Invalid::new(field, &size, message));
            }
            if self.pictures.fixed_size && size != default {
                let message = format!("this export has its size built in; give {default}");
                return Err(Invalid::new(field, &size, message));
            }
            Ok(size)
        };
        Ok((
            check("width", width, self.pictures.default_width)?,
            check("height", height, self.pictures.default_height)?,
        ))
    }

    fn steps(&self, request: &PictureRequest) -> Result<u32, Invalid> {
        let listed = request.timesteps.as_ref().or(request.sigmas.as_ref()).map(Vec::len);
        let steps = match listed {
            Some(length) => u32::try_from(length).unwrap_or(u32::MAX),
            None => request
                .num_inference_steps
                .or(self.task_defaults(request).map(|defaults| defaults.num_inference_steps))
                .unwrap_or(self.pictures.default_steps),
        };
        if (1..=self.pictures.max_steps).contains(&steps) {
            return Ok(steps);
        }
        let field = match (&request.timesteps, &request.sigmas) {
            (Some(_), _) => "timesteps",
            (None, Some(_)) => "sigmas",
            (None, None) => "num_inference_steps",
        };
        Err(Invalid::new(field, &steps, format!("give 1 to {}", self.pictures.max_steps)))
    }
}

/// Checks the sizes that Stable Diffusion XL is told.
fn check_conditions(request: &PictureRequest) -> Result<(), Invalid> {
    let negative = [request.negative_original_size, request.negative_target_size];
    for (field, size, min) in [
        ("original_size", request.original_size, 1),
        ("target_size", request.target_size, 1),
        ("crops_coords_top_left", request.crops_coords_top_left, 0),
        ("negative_original_size", negative[0], 1),
        ("negative_target_size", negative[1], 1),
        ("negative_crops_coords_top_left", request.negative_crops_coords_top_left, 0),
    ] {
        for side in size.into_iter().flatten() {
            if !(min..=MAX_CONDITION).contains(&side) {
                let message = format!("give {min} to {MAX_CONDITION} pixels");
                return Err(Invalid::new(field, &side, message));
            }
        }
        // diffusers has no use for one of them alone here, nor for the crop alone.
        if let Some(size) = size.filter(|_| field.starts_with("negative"))
            && negative.contains(&None)
            && !request.starts_from_picture()
        {
            let message = "text-to-image takes negative_original_size and negative_target_size \
                           together; give both";
            return Err(Invalid::new(field, &format!("{size:?}"), message));
        }
    }
    Ok(())
}

fn check_text(field: &'static str, text: &str) -> Result<(), Invalid> {
    // Bytes bound characters from above and cost nothing to count.
    let chars = if text.len() > MAX_PROMPT_CHARS { text.chars().count() } else { 0 };
    if chars > MAX_PROMPT_CHARS {
        let message = format!("{chars} characters; shorten it to {MAX_PROMPT_CHARS} or fewer");
        return Err(Invalid::new(field, &quoted(text), message));
    }
    Ok(())
}
