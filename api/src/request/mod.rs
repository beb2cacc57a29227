//! A generation request: the JSON of the library, the tasks and the HTTP routes, and the
//! MessagePack of `generate`.

mod check;
mod input;
mod kinds;
mod lora;
mod names;
mod one_or_more;
mod scheduler;
mod setters;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{CallError, ErrorKind};
use crate::ids::RequestId;
use crate::json;

pub use self::input::Input;
pub use self::kinds::{NoiseDevice, OutputFormat, Task, UnknownTask};
pub use self::lora::Lora;

/// What to make. A field that is none takes the model's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerationRequest {
    /// The request's name; drawn by whoever accepts it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// Which model; may be absent where there is one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What kind of work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// What the picture shows; empty for models without words.
    pub prompt: String,
    /// What the second text encoder reads instead of `prompt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_2: Option<String>,
    /// What the third text encoder reads instead of `prompt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_3: Option<String>,
    /// What it should not show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// What the second text encoder reads instead of `negative_prompt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt_2: Option<String>,
    /// What the third text encoder reads instead of `negative_prompt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt_3: Option<String>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How many images; 1 when absent.
    #[serde(alias = "num_images_per_prompt", skip_serializing_if = "Option::is_none")]
    pub num_images: Option<u32>,
    /// Denoising steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_inference_steps: Option<u32>,
    /// The timesteps to visit, falling, instead of `num_inference_steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timesteps: Option<Vec<f64>>,
    /// The noise levels to visit, falling, instead of `num_inference_steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Vec<f64>>,
    /// Classifier-free guidance; off at 1 and below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_scale: Option<f64>,
    /// How far guidance is brought back to the plain prediction's spread, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_rescale: Option<f64>,
    /// From and to which share of the run there is guidance, 0 to 1; all of it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_interval: Option<[f64; 2]>,
    /// Guidance by the negative prompt for models that have the scale as an input (Flux).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub true_cfg_scale: Option<f64>,
    /// DDIM's η, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// Steps of the distilled schedule that LCM and TCD choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_inference_steps: Option<u32>,
    /// Layers of the text encoder to leave out at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_skip: Option<u32>,
    /// Read what of a prompt doesn't fit in further chunks, as many tokens each, instead of cutting
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_prompt: Option<bool>,
    /// Read brackets in prompts as weights, `(word:1.2)`, `(word)` and `[word]`, in the syntax of
    /// AUTOMATIC1111's web UI. They are letters otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_weights: Option<bool>,
    /// Tokens that T5 reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sequence_length: Option<u32>,
    /// The share of the schedule that another model has done already, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denoising_start: Option<f64>,
    /// The share of the schedule after which the picture is left to another model, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denoising_end: Option<f64>,
    /// Rows and columns that the picture seems to be cropped from (Stable Diffusion XL).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_size: Option<[u32; 2]>,
    /// Rows and columns that it seems to be made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_size: Option<[u32; 2]>,
    /// Rows and columns that seem to be cut off above and at the left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crops_coords_top_left: Option<[u32; 2]>,
    /// What the negative prompt is told instead of `original_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_original_size: Option<[u32; 2]>,
    /// What it is told instead of `target_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_target_size: Option<[u32; 2]>,
    /// What it is told instead of `crops_coords_top_left`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_crops_coords_top_left: Option<[u32; 2]>,
    /// How beautiful the picture seems to be, 1 to 10 (Stable Diffusion XL's refiner).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aesthetic_score: Option<f64>,
    /// How beautiful what it should not show seems to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_aesthetic_score: Option<f64>,
    /// The class to show, for models that know classes instead of words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_labels: Option<u32>,
    /// The picture to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Input>,
    /// What of `image` to make anew: where it is light.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_image: Option<Input>,
    /// How much of `image` to make anew, above 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// The pictures that steer the model, one for each of its ControlNets; in JSON one, or a list.
    #[serde(deserialize_with = "one_or_more::list", skip_serializing_if = "Vec::is_empty")]
    pub control_image: Vec<Input>,
    /// How strongly each counts, or one number for all; the task's when absent.
    #[serde(deserialize_with = "one_or_more::list", skip_serializing_if = "Vec::is_empty")]
    pub controlnet_conditioning_scale: Vec<f64>,
    /// The share of the steps before each counts, 0 to 1, or one number for all; 0 when absent.
    #[serde(deserialize_with = "one_or_more::list", skip_serializing_if = "Vec::is_empty")]
    pub control_guidance_start: Vec<f64>,
    /// The share of the steps after which it counts no more, likewise; 1 when absent.
    #[serde(deserialize_with = "one_or_more::list", skip_serializing_if = "Vec::is_empty")]
    pub control_guidance_end: Vec<f64>,
    /// Steer without words: what to keep away from is not steered, and shallow layers less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guess_mode: Option<bool>,
    /// The latents to start from: a NumPy file, or plain float32, little-endian,
    /// [channels, rows, columns].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents: Option<Input>,
    /// LoRA adapters of the model to take, those that aren't named being left out; in JSON also as a
    /// map of names to scales.
    #[serde(deserialize_with = "lora::list", skip_serializing_if = "Vec::is_empty")]
    pub lora: Vec<Lora>,
    /// Image i uses `seed + i`; drawn by whoever accepts the request when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Whose normal numbers the noise is made of; the CPU's when absent. Where the model runs has
    /// nothing to do with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_device: Option<NoiseDevice>,
    /// Scheduler's name, with overrides as `name:key=value,key=value`; in JSON also as an object
    /// of `name` and overrides.
    #[serde(deserialize_with = "scheduler::text", skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// Compute it alone, bit by bit the same whatever else runs, instead of sharing steps with others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<bool>,
    /// How the result is encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_format: Option<OutputFormat>,
    /// Send a preview each so many steps; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_every: Option<u32>,
    /// Milliseconds that the whole request may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The caller's own words, kept in the result.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl GenerationRequest {
    /// The names of its fields and their aliases, in the order of their declaration.
    #[must_use]
    pub fn fields() -> &'static [&'static str] {
        names::fields_of::<Self>()
    }

    /// Whether the field takes text and nothing else, so that a number given for it can only be
    /// meant as words.
    #[must_use]
    pub fn takes_text(field: &str) -> bool {
        let number = serde_json::json!({ field: 7 });
        json::read::<Self>(&number).is_err_and(|misfit| misfit.wants_text())
    }

    /// Reads a request from JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`]; an unknown field is named with the nearest known one.
    pub fn from_json(json: serde_json::Value) -> Result<Self, CallError> {
        let serde_json::Value::Object(fields) = &json else {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                "a generation request is a JSON object, as in {\"prompt\": \"red heart\"}",
            ));
        };
        for name in fields.keys() {
            if !Self::fields().contains(&name.as_str()) {
                return Err(names::unknown(name, Self::fields()));
            }
        }
        json::read(&json).map_err(|misfit| CallError::invalid(&misfit.path, misfit.to_string()))
    }

    /// How many images.
    #[must_use]
    pub fn images(&self) -> u32 {
        self.num_images.unwrap_or(1)
    }

    /// The files that it brings along, with the names of their attachments: those of a list have
    /// one name, and keep their order.
    #[must_use]
    pub fn inputs(&self) -> Vec<(&'static str, &Input)> {
        let fields =
            [("image", &self.image), ("mask_image", &self.mask_image), ("latents", &self.latents)];
        let fields = fields.into_iter().filter_map(|(name, input)| Some((name, input.as_ref()?)));
        fields.chain(self.control_image.iter().map(|input| ("control_image", input))).collect()
    }

    /// The same, to be [filled](Input::fill).
    pub fn inputs_mut(&mut self) -> Vec<(&'static str, &mut Input)> {
        let fields = [
            ("image", &mut self.image),
            ("mask_image", &mut self.mask_image),
            ("latents", &mut self.latents),
        ];
        let fields = fields.into_iter().filter_map(|(name, input)| Some((name, input.as_mut()?)));
        fields.chain(self.control_image.iter_mut().map(|input| ("control_image", input))).collect()
    }

    /// SHA-256 of the content, hex: equal for requests that ask for the same results.
    #[must_use]
    pub fn digest(&self) -> String {
        let content = Self { id: None, deadline_ms: None, preview_every: None, ..self.clone() };
        // Fields are encoded in the order of their declaration, so the bytes are canonical.
        let bytes = rmp_serde::to_vec_named(&content).unwrap_or_default();
        hex::encode(Sha256::digest(bytes))
    }
}

#[cfg(test)]
mod tests;
