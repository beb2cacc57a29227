//! What one picture is asked to be.

use std::sync::Arc;

use hearth_media::Image;

use super::Latents;
use crate::noise::Device;
use crate::schedulers::SchedulerSpec;

/// A request for one picture, before defaults. The seed is given apart, as pictures of one
/// request differ in it alone.
///
/// Fields are called as in diffusers. A field that the model's family has no use for is refused
/// rather than ignored; see [`Description::fields`](super::Description::fields).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Generation {
    /// What to show; empty for models without words.
    pub prompt: String,
    /// What the second text encoder reads instead of `prompt`.
    pub prompt_2: Option<String>,
    /// What the third text encoder reads instead of `prompt`.
    pub prompt_3: Option<String>,
    /// What to keep away from. Not given and empty are two things to Stable Diffusion XL.
    pub negative_prompt: Option<String>,
    /// What the second text encoder reads instead of `negative_prompt`.
    pub negative_prompt_2: Option<String>,
    /// What the third text encoder reads instead of `negative_prompt`.
    pub negative_prompt_3: Option<String>,
    /// Pixels in a row.
    pub width: Option<u32>,
    /// Rows.
    pub height: Option<u32>,
    /// Number of steps.
    pub num_inference_steps: Option<u32>,
    /// The timesteps to visit, falling, instead of `num_inference_steps`.
    pub timesteps: Option<Vec<f64>>,
    /// The noise levels to visit, falling, instead of `num_inference_steps`.
    pub sigmas: Option<Vec<f64>>,
    /// Guidance scale; 1 and below leaves guidance out.
    pub guidance_scale: Option<f32>,
    /// How far the guided prediction is brought back to the plain one's spread, 0 to 1 (Lin et al.
    /// 2023, section 3.4).
    pub guidance_rescale: Option<f32>,
    /// Guidance with a negative prompt for models whose `guidance_scale` is an input (Flux).
    pub true_cfg_scale: Option<f32>,
    /// The scheduler, instead of the folder's own.
    pub scheduler: Option<SchedulerSpec>,
    /// DDIM's eta, 0 to 1; other schedulers ignore it.
    pub eta: Option<f32>,
    /// The steps of the distilled schedule that LCM and TCD take theirs from.
    pub original_inference_steps: Option<u32>,
    /// Number of the text encoder's last layers to leave out.
    pub clip_skip: Option<u32>,
    /// What of a prompt doesn't fit is read in further chunks, and not cut.
    pub long_prompt: bool,
    /// Brackets in prompts are weights, as in `(word:1.2)` and `[word]`, and not letters.
    pub prompt_weights: bool,
    /// Tokens that T5 reads.
    pub max_sequence_length: Option<u32>,
    /// The share of the schedule that another model has done already, 0 to 1: `latents` are its
    /// result, or `image` is.
    pub denoising_start: Option<f64>,
    /// The share of the schedule after which the picture is left to another model, 0 to 1.
    pub denoising_end: Option<f64>,
    /// The picture to start from.
    pub image: Option<Arc<Image>>,
    /// What of `image` to make anew: where it is light.
    pub mask_image: Option<Arc<Image>>,
    /// How much of `image` to make anew, above 0 to 1.
    pub strength: Option<f64>,
    /// The pictures that steer the denoiser, one for each of the model's ControlNets.
    pub control_image: Vec<Arc<Image>>,
    /// How strongly each counts, or one number for all; if it is empty, what diffusers has for the
    /// task: 1, with an image 0.8, with a mask 0.5 (Stable Diffusion XL: 1).
    pub controlnet_conditioning_scale: Vec<f64>,
    /// The share of the steps before each counts, 0 to 1, or one number for all; 0 if it is empty.
    pub control_guidance_start: Vec<f64>,
    /// The share of the steps after which it counts no more, likewise; 1 if it is empty.
    pub control_guidance_end: Vec<f64>,
    /// Steer without words: the negative prompt's half of guidance isn't, and residuals count less
    /// the shallower they are.
    pub guess_mode: bool,
    /// The same as latents: what a run of [`OutputType::Latent`] gave.
    pub image_latents: Option<Arc<Latents>>,
    /// The latents to start from, as unit noise, or those that `denoising_start` goes on with.
    pub latents: Option<Arc<Latents>>,
    /// What comes of it.
    pub output_type: OutputType,
    /// Rows and columns of the picture that it seems to be cropped from (Stable Diffusion XL).
    pub original_size: Option<[u32; 2]>,
    /// Rows and columns that it seems to be made for.
    pub target_size: Option<[u32; 2]>,
    /// Rows and columns that seem to be cut off above and at the left.
    pub crops_coords_top_left: Option<[u32; 2]>,
    /// What the negative prompt is told instead of `original_size`.
    pub negative_original_size: Option<[u32; 2]>,
    /// What it is told instead of `target_size`.
    pub negative_target_size: Option<[u32; 2]>,
    /// What it is told instead of `crops_coords_top_left`.
    pub negative_crops_coords_top_left: Option<[u32; 2]>,
    /// How beautiful the picture seems to be, 1 to 10 (Stable Diffusion XL's refiner).
    pub aesthetic_score: Option<f32>,
    /// How beautiful what to keep away from seems to be.
    pub negative_aesthetic_score: Option<f32>,
    /// The class to show, for models that know classes instead of words.
    pub class_labels: Option<u32>,
    /// Adapters to add to the model's weights; those that aren't named are left out.
    pub lora: Vec<Lora>,
    /// Whose normal numbers the noise is made of.
    pub noise_device: Device,
}

/// An adapter, and how much of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Its name, one of [`Description::lora`](super::Description::lora).
    pub name: String,
    /// What its weights are multiplied by: 0 leaves it out, below 0 does the opposite.
    pub scale: f32,
}

/// What comes of a request, as diffusers' argument of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputType {
    /// A picture.
    #[default]
    Image,
    /// The latents after the last step, as the scheduler has them: not decoded.
    Latent,
}

/// A [`Generation`] that was checked, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What to show.
    pub prompt: String,
    /// What to keep away from.
    pub negative_prompt: String,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Number of steps.
    pub num_inference_steps: u32,
    /// Guidance scale.
    pub guidance_scale: f32,
    /// The scheduler's name: as the caller chose it, or the folder's class.
    pub scheduler: String,
    /// DDIM's eta.
    pub eta: f32,
    /// How much of the request's image is made anew; none without one.
    pub strength: Option<f64>,
    /// The request itself: what has no default is read there.
    pub request: Generation,
}

/// A field of a request that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value}: {message}")]
pub struct Invalid {
    /// The field, as it is called in requests.
    pub field: &'static str,
    /// Its value, shortened where it is long.
    pub value: String,
    /// What is wrong with it, and the remedy.
    pub message: String,
}

impl Invalid {
    pub(super) fn new(
        field: &'static str,
        value: &dyn std::fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self { field, value: value.to_string(), message: message.into() }
    }
}

impl Generation {
    /// Whether a picture is given, in pixels or encoded.
    pub(super) fn has_picture(&self) -> bool {
        self.image.is_some() || self.image_latents.is_some()
    }

    /// Whether there is a picture to begin with, or what another model has made of one so far.
    pub(super) fn starts_from_picture(&self) -> bool {
        self.has_picture() || (self.latents.is_some() && self.denoising_start.is_some())
    }

    /// The optional fields that are given, each with its value for messages.
    pub(super) fn given(&self) -> Vec<(&'static str, String)> {
        let text = |text: &Option<String>| text.as_deref().map(quoted);
        fn debug<T: std::fmt::Debug>(value: &Option<T>) -> Option<String> {
            value.as_ref().map(|value| format!("{value:?}"))
        }
        let size = |image: &Option<Arc<Image>>| {
            image.as_ref().map(|image| format!("of {}x{}", image.width, image.height))
        };
        let pictures = |images: &[Arc<Image>]| {
            let sizes = images.iter().map(|image| format!("of {}x{}", image.width, image.height));
            (!images.is_empty()).then(|| sizes.collect::<Vec<_>>().join(", "))
        };
        let numbers = |list: &[f64]| (!list.is_empty()).then(|| format!("{list:?}"));
        let fields = [
            ("prompt_2", text(&self.prompt_2)),
            ("prompt_3", text(&self.prompt_3)),
            ("negative_prompt", text(&self.negative_prompt)),
            ("negative_prompt_2", text(&self.negative_prompt_2)),
            ("negative_prompt_3", text(&self.negative_prompt_3)),
            ("guidance_scale", debug(&self.guidance_scale)),
            ("guidance_rescale", debug(&self.guidance_rescale)),
            ("true_cfg_scale", debug(&self.true_cfg_scale)),
            ("clip_skip", debug(&self.clip_skip.filter(|&skip| skip > 0))),
            ("long_prompt", self.long_prompt.then(|| "true".to_owned())),
            ("prompt_weights", self.prompt_weights.then(|| "true".to_owned())),
            ("max_sequence_length", debug(&self.max_sequence_length)),
            ("original_inference_steps", debug(&self.original_inference_steps)),
            ("denoising_start", debug(&self.denoising_start)),
            ("denoising_end", debug(&self.denoising_end)),
            ("image", size(&self.image)),
            ("image", self.image_latents.as_ref().map(|latents| latents.shown())),
            ("mask_image", size(&self.mask_image)),
            ("strength", debug(&self.strength)),
            ("control_image", pictures(&self.control_image)),
            ("controlnet_conditioning_scale", numbers(&self.controlnet_conditioning_scale)),
            ("control_guidance_start", numbers(&self.control_guidance_start)),
            ("control_guidance_end", numbers(&self.control_guidance_end)),
            ("guess_mode", self.guess_mode.then(|| "true".to_owned())),
            ("latents", self.latents.as_ref().map(|latents| latents.shown())),
            ("original_size", debug(&self.original_size)),
            ("target_size", debug(&self.target_size)),
            ("crops_coords_top_left", debug(&self.crops_coords_top_left)),
            ("negative_original_size", debug(&self.negative_original_size)),
            ("negative_target_size", debug(&self.negative_target_size)),
            ("negative_crops_coords_top_left", debug(&self.negative_crops_coords_top_left)),
            ("aesthetic_score", debug(&self.aesthetic_score)),
            ("negative_aesthetic_score", debug(&self.negative_aesthetic_score)),
            ("class_labels", debug(&self.class_labels)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A text as a value in a message: quoted, its end left out where it is long.
pub(super) fn quoted(text: &str) -> String {
    quoted_to(40, text)
}

/// The same, of so many characters at most.
pub(super) fn quoted_to(shown: usize, text: &str) -> String {
    match text.char_indices().nth(shown) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
