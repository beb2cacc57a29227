//! A request for a picture as it is checked: its fields, and what it brings along, decoded once.

use std::ops::Deref;
use std::sync::Arc;

use hearth_api::GenerationRequest;
use hearth_api::request::{Input, OutputFormat, Task};
use hearth_media::{Image, npy};
use serde_json::Value;

use super::latents::Latents;
use super::quoted::quoted;
use crate::model::Invalid;
use crate::schedulers::SchedulerSpec;

/// Most bytes of a request's control images once they are decoded.
const CONTROL_BYTES: usize = 192 << 20;

/// A request that was read. Its fields are the request's own, but for those that had to be read.
#[derive(Debug, Clone, Default)]
pub(super) struct PictureRequest {
    pub(super) fields: Arc<GenerationRequest>,
    /// The picture to start from.
    pub(super) image: Option<Arc<Image>>,
    /// The same as latents: what a run that ended before its decoder gave.
    pub(super) image_latents: Option<Latents>,
    /// What of the picture to make anew: where it is light.
    pub(super) mask_image: Option<Arc<Image>>,
    /// The pictures that steer the denoiser, one for each of the model's ControlNets.
    pub(super) control_image: Vec<Arc<Image>>,
    /// The latents to start from, as unit noise, or those that `denoising_start` goes on with.
    pub(super) latents: Option<Latents>,
    /// The scheduler, instead of the folder's own.
    pub(super) scheduler: Option<SchedulerSpec>,
}

impl Deref for PictureRequest {
    type Target = GenerationRequest;

    fn deref(&self) -> &GenerationRequest {
        &self.fields
    }
}

impl PictureRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// A scheduler's text, a picture or latents that can't be read, and a format for another kind
    /// of result.
    pub(super) fn read(request: &GenerationRequest) -> Result<Self, Invalid> {
        check_format(request.output_format)?;
        let (image, image_latents) = match &request.image {
            Some(input) if npy::is(bytes("image", input)?) => {
                (None, Some(latents("image", input)?))
            }
            image => (image.as_ref().map(|input| decoded("image", input)).transpose()?, None),
        };
        let scheduler = request.scheduler.as_deref().map(SchedulerSpec::parse).transpose();
        let mask_image = request.mask_image.as_ref();
        let own = request.latents.as_ref();
        Ok(Self {
            image,
            image_latents,
            mask_image: mask_image.map(|input| decoded("mask_image", input)).transpose()?,
            control_image: control_images(&request.control_image)?,
            latents: own.map(|input| latents("latents", input)).transpose()?,
            scheduler: scheduler
                .map_err(|error| Invalid { field: "scheduler", message: error.to_string() })?,
            fields: Arc::new(request.clone()),
        })
    }

    /// The task that its fields ask for of a model that reads `words`, or none.
    pub(super) fn task_of(&self, words: bool) -> Task {
        match (&self.image, &self.mask_image) {
            (Some(_), Some(_)) => Task::Inpainting,
            _ if self.starts_from_picture() => Task::ImageToImage,
            _ if words => Task::TextToImage,
            _ => Task::General,
        }
    }

    /// Whether a picture is given, in pixels or encoded.
    pub(super) fn has_picture(&self) -> bool {
        self.image.is_some() || self.image_latents.is_some()
    }

    /// Whether there is a picture to begin with, or what another model has made of one so far.
    pub(super) fn starts_from_picture(&self) -> bool {
        self.has_picture() || (self.latents.is_some() && self.denoising_start.is_some())
    }

    /// What comes of it are latents, and no picture.
    pub(super) fn ends_in_latents(&self) -> bool {
        self.output_format == Some(OutputFormat::Npy)
    }

    /// The fields that are given and that not every model has, each with its value for messages.
    pub(super) fn given(&self) -> Vec<(&'static str, String)> {
        let Ok(Value::Object(fields)) = serde_json::to_value(&*self.fields) else {
            return Vec::new();
        };
        let own = GenerationRequest::fields().iter().filter(|field| !EVERYWHERE.contains(field));
        let shown = |field: &'static str| {
            let value = match field {
                "image" => self
                    .image
                    .as_ref()
                    .map(|image| size(image))
                    .or_else(|| self.image_latents.as_ref().map(Latents::shown)),
                "mask_image" => self.mask_image.as_ref().map(|image| size(image)),
                "control_image" => {
                    let sizes: Vec<_> =
                        self.control_image.iter().map(|image| size(image)).collect();
                    (!sizes.is_empty()).then(|| sizes.join(", "))
                }
                "latents" => self.latents.as_ref().map(Latents::shown),
                // No layer left out is what everybody does.
                "clip_skip" => self.clip_skip.filter(|&skip| skip > 0).map(|skip| skip.to_string()),
                field => fields.get(field).and_then(text),
            };
            Some((field, value?))
        };
        own.filter_map(|field| shown(field)).collect()
    }
}

/// Fields that mean something to every model that makes pictures.
const EVERYWHERE: [&str; 20] = [
    "id",
    "model",
    "task",
    "prompt",
    "width",
    "height",
    "num_images",
    "num_inference_steps",
    "timesteps",
    "sigmas",
    "scheduler",
    "eta",
    "lora",
    "seed",
    "noise_device",
    "exact",
    "output_format",
    "preview_every",
    "deadline_ms",
    "metadata",
];

/// A field's value as it stands in messages; none where it asks for nothing.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(false) => None,
        Value::String(text) => Some(quoted(text)),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(ToString::to_string).collect();
            Some(format!("[{}]", items.join(", ")))
        }
        // JSON knows no other numbers.
        Value::Null => Some("NaN".to_owned()),
        Value::Bool(true) | Value::Number(_) | Value::Object(_) => Some(value.to_string()),
    }
}

fn size(image: &Image) -> String {
    format!("of {}x{}", image.width, image.height)
}

/// Refuses formats of other kinds of results. Numbers are the latents, before they are decoded.
fn check_format(format: Option<OutputFormat>) -> Result<(), Invalid> {
    match format {
        Some(format @ (OutputFormat::Wav | OutputFormat::Flac)) => {
            let shown = format.extension();
            let message = format!("output_format {shown}: pictures come as png, jpeg, webp or npy");
            Err(Invalid { field: "output_format", message })
        }
        None
        | Some(OutputFormat::Png | OutputFormat::Jpeg | OutputFormat::Webp | OutputFormat::Npy) => {
            Ok(())
        }
    }
}

/// Decodes the pictures of the list; how much memory all of them take is bounded as one's is.
fn control_images(inputs: &[Input]) -> Result<Vec<Arc<Image>>, Invalid> {
    const FIELD: &str = "control_image";
    let (mut images, mut bytes) = (Vec::with_capacity(inputs.len()), 0);
    for input in inputs {
        let image = decoded(FIELD, input)?;
        bytes += image.rgb.len();
        if bytes > CONTROL_BYTES {
            let most = CONTROL_BYTES / 3 / 1_000_000;
            let message = format!(
                "{FIELD}: the pictures have more than {most} million pixels together; make them \
                 smaller"
            );
            return Err(Invalid { field: FIELD, message });
        }
        images.push(image);
    }
    Ok(images)
}

/// Decodes a picture; its file's start decides what it is.
fn decoded(field: &'static str, input: &Input) -> Result<Arc<Image>, Invalid> {
    let refused =
        |error: hearth_media::Error| Invalid { field, message: format!("{field}: {error}") };
    hearth_media::decode(bytes(field, input)?).map(Arc::new).map_err(refused)
}

fn latents(field: &'static str, input: &Input) -> Result<Latents, Invalid> {
    let read = Latents::read(bytes(field, input)?);
    read.map_err(|error| Invalid { field, message: format!("{field}: {error}") })
}

fn bytes<'a>(field: &'static str, input: &'a Input) -> Result<&'a [u8], Invalid> {
    input.bytes().map(AsRef::as_ref).ok_or_else(|| Invalid {
        field,
        message: format!("{field}: its bytes didn't come with the request"),
    })
}
