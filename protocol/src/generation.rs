//! A generation request: the JSON of the library, the tasks and the HTTP routes, and the
//! MessagePack of `generate`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::codec;
use crate::error::{CallError, ErrorKind};
use crate::ids::RequestId;
use crate::limits;

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
    /// What the picture shows.
    pub prompt: String,
    /// What it should not show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
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
    /// Classifier-free guidance; off at 1 and below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_scale: Option<f64>,
    /// DDIM's η, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// Layers of the text encoder to leave out at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_skip: Option<u32>,
    /// Image i uses `seed + i`; drawn by whoever accepts the request when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Scheduler's name, with overrides as `name:key=value,key=value`; in JSON also as an object
    /// of `name` and overrides.
    #[serde(deserialize_with = "scheduler_text", skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
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

/// The fields' names, for the nearest one to an unknown name.
const FIELDS: [&str; 18] = [
    "id",
    "model",
    "task",
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "num_images",
    "num_images_per_prompt",
    "num_inference_steps",
    "guidance_scale",
    "eta",
    "clip_skip",
    "seed",
    "scheduler",
    "output_format",
    "preview_every",
    "deadline_ms",
];

impl GenerationRequest {
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
            if name != "metadata" && !FIELDS.contains(&name.as_str()) {
                return Err(unknown_field(name));
            }
        }
        serde_path_to_error::deserialize(json).map_err(|error| {
            let field = error.path().to_string();
            CallError::invalid(&field, format!("{field}: {}", error.inner()))
        })
    }

    /// How many images.
    #[must_use]
    pub fn images(&self) -> u32 {
        self.num_images.unwrap_or(1)
    }

    /// Checks what can be checked without the model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] names the field, the value and the remedy.
    pub fn check(&self) -> Result<(), CallError> {
        if self.prompt.trim().is_empty() {
            return Err(CallError::invalid("prompt", "prompt is empty: say what to make"));
        }
        for (field, text) in
            [("prompt", Some(&self.prompt)), ("negative_prompt", self.negative_prompt.as_ref())]
        {
            let chars = text.map_or(0, |text| text.chars().count());
            if chars > limits::PROMPT_CHARS {
                let max = limits::PROMPT_CHARS;
                let message = format!("{field} has {chars} characters: shorten it to {max}");
                return Err(CallError::invalid(field, message));
            }
        }
        let images = self.images();
        if !(1..=limits::IMAGES).contains(&images) {
            let message =
                format!("num_images is {images}: ask for 1 to {} in one request", limits::IMAGES);
            return Err(CallError::invalid("num_images", message));
        }
        for (field, value) in [("guidance_scale", self.guidance_scale), ("eta", self.eta)] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                let message = format!("{field} is {value}: give a finite number");
                return Err(CallError::invalid(field, message));
            }
        }
        if self.preview_every == Some(0) {
            let message = "preview_every is 0: give a number of steps, or leave it out";
            return Err(CallError::invalid("preview_every", message));
        }
        if self.deadline_ms == Some(0) {
            let message = "deadline_ms is 0: give the milliseconds that the request may take";
            return Err(CallError::invalid("deadline_ms", message));
        }
        let (entries, bytes) = limits::METADATA;
        let long = |(key, value): (&String, &String)| key.len() + value.len() > bytes;
        if self.metadata.len() > entries || self.metadata.iter().any(long) {
            let message = format!("metadata holds at most {entries} entries of {bytes} bytes");
            return Err(CallError::invalid("metadata", message));
        }
        Ok(())
    }

    /// SHA-256 of the content, hex: equal for requests that ask for the same results.
    #[must_use]
    pub fn digest(&self) -> String {
        let content = Self { id: None, deadline_ms: None, preview_every: None, ..self.clone() };
        // Fields are encoded in the order of their declaration, so the bytes are canonical.
        let bytes = codec::encode(&content).unwrap_or_default();
        hex::encode(Sha256::digest(bytes))
    }
}

fn unknown_field(name: &str) -> CallError {
    let nearest = FIELDS
        .into_iter()
        .map(|field| (strsim::jaro_winkler(field, name), field))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.75);
    let remedy = match nearest {
        Some((_, field)) => format!("did you mean {field}?"),
        None => format!("known fields: {}, metadata", FIELDS.join(", ")),
    };
    CallError::invalid(name, format!("field {name:?} is unknown: {remedy}"))
}

/// Reads a scheduler from its text or, in JSON, from an object of `name` and overrides.
fn scheduler_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scheduler {
        Text(String),
        Parts {
            name: String,
            #[serde(flatten)]
            overrides: BTreeMap<String, Scalar>,
        },
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Bool(bool),
        Integer(i64),
        Float(f64),
        Text(String),
    }
    impl fmt::Display for Scalar {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Bool(value) => value.fmt(f),
                Self::Integer(value) => value.fmt(f),
                Self::Float(value) => value.fmt(f),
                Self::Text(value) => value.fmt(f),
            }
        }
    }
    Ok(Option::<Scheduler>::deserialize(input)?.map(|scheduler| match scheduler {
        Scheduler::Text(text) => text,
        Scheduler::Parts { name, overrides } => {
            let overrides: Vec<_> =
                overrides.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            if overrides.is_empty() { name } else { format!("{name}:{}", overrides.join(",")) }
        }
    }))
}

/// What kind of work a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Task {
    /// A picture from words.
    TextToImage,
    /// A picture from words and a picture.
    ImageToImage,
    /// A picture with a part made anew.
    Inpainting,
    /// Sound from words.
    TextToAudio,
    /// Speech from words.
    TextToSpeech,
    /// Whatever the model does.
    General,
}

impl Task {
    /// Each task with its name and other names that are accepted for it.
    const NAMES: [(Self, &'static str, &'static [&'static str]); 6] = [
        (Self::TextToImage, "text-to-image", &["text2image", "omni_text2image"]),
        (Self::ImageToImage, "image-to-image", &["image2image"]),
        (Self::Inpainting, "inpainting", &["inpaint"]),
        (Self::TextToAudio, "text-to-audio", &["text2audio", "omni_text2audio"]),
        (Self::TextToSpeech, "text-to-speech", &["text2speech", "omni_text2speech"]),
        (Self::General, "general", &["text2general", "omni_text2general"]),
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(task, ..)| *task == self).map_or("general", |(_, name, _)| name)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that is no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {0:?} is unknown: use one of {known}", known = Task::NAMES.map(|(_, name, _)| name).join(", "))]
pub struct UnknownTask(String);

impl FromStr for Task {
    type Err = UnknownTask;
    fn from_str(text: &str) -> Result<Self, UnknownTask> {
        let found =
            Self::NAMES.iter().find(|(_, name, also)| *name == text || also.contains(&text));
        found.map(|(task, ..)| *task).ok_or_else(|| UnknownTask(text.to_owned()))
    }
}

impl TryFrom<String> for Task {
    type Error = UnknownTask;
    fn try_from(text: String) -> Result<Self, UnknownTask> {
        text.parse()
    }
}

impl From<Task> for String {
    fn from(task: Task) -> String {
        task.name().to_owned()
    }
}

/// How a result is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// Lossless picture, with the request in its text chunks.
    Png,
    /// Lossy picture.
    Jpeg,
    /// Picture for the web.
    Webp,
    /// Uncompressed sound.
    Wav,
    /// Lossless sound.
    Flac,
    /// Raw tensor.
    Npy,
}

impl OutputFormat {
    /// The usual file name extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Npy => "npy",
        }
    }

    /// The format that a file name's extension stands for.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::Webp),
            "wav" => Some(Self::Wav),
            "flac" => Some(Self::Flac),
            "npy" => Some(Self::Npy),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(json: serde_json::Value) -> Result<GenerationRequest, CallError> {
        GenerationRequest::from_json(json)
    }

    #[test]
    fn an_unknown_field_is_named_with_the_nearest() {
        let error = parse(json!({"prompt": "x", "guidence_scale": 3})).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("guidence_scale"));
        assert!(error.message.contains("guidance_scale"), "{}", error.message);
        let error = parse(json!({"prompt": "x", "qqq": 3})).unwrap_err();
        assert!(error.message.contains("known fields"), "{}", error.message);
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let error = parse(json!({"prompt": "x", "seed": "seven"})).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("seed"));
        let error = parse(json!({"prompt": "x", "task": "paint"})).unwrap_err();
        assert!(error.message.contains("text-to-image"), "{}", error.message);
    }

    #[test]
    fn aliases_and_scheduler_forms() {
        let request = parse(json!({
            "prompt": "x", "num_images_per_prompt": 3, "task": "omni_text2image",
            "scheduler": {"name": "euler", "use_karras_sigmas": true},
        }))
        .unwrap();
        assert_eq!(request.images(), 3);
        assert_eq!(request.task, Some(Task::TextToImage));
        assert_eq!(request.scheduler.as_deref(), Some("euler:use_karras_sigmas=true"));
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        let good = GenerationRequest { prompt: "x".to_owned(), ..Default::default() };
        assert_eq!(good.check(), Ok(()));
        let cases = [
            ("prompt", GenerationRequest { prompt: " ".to_owned(), ..good.clone() }),
            ("prompt", GenerationRequest { prompt: "x".repeat(10_001), ..good.clone() }),
            ("num_images", GenerationRequest { num_images: Some(0), ..good.clone() }),
            ("num_images", GenerationRequest { num_images: Some(65), ..good.clone() }),
            (
                "guidance_scale",
                GenerationRequest { guidance_scale: Some(f64::NAN), ..good.clone() },
            ),
            ("preview_every", GenerationRequest { preview_every: Some(0), ..good.clone() }),
            ("deadline_ms", GenerationRequest { deadline_ms: Some(0), ..good.clone() }),
        ];
        for (field, request) in cases {
            assert_eq!(request.check().unwrap_err().param.as_deref(), Some(field));
        }
    }

    #[test]
    fn the_digest_is_of_the_content_alone() {
        let one = GenerationRequest { prompt: "x".to_owned(), ..Default::default() };
        let named = GenerationRequest { id: Some("a".parse().unwrap()), ..one.clone() };
        let other = GenerationRequest { seed: Some(1), ..one.clone() };
        assert_eq!(one.digest(), named.digest());
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn every_field_is_listed() {
        let error = parse(json!({"prompt": "x", "zzzzzzzz": 1})).unwrap_err();
        let json = json!({"id": "a", "model": "m", "task": "general", "prompt": "p",
            "negative_prompt": "n", "width": 1, "height": 1, "num_images": 1,
            "num_inference_steps": 1, "guidance_scale": 1.0, "eta": 0.0, "clip_skip": 1, "seed": 1,
            "scheduler": "s", "output_format": "png", "preview_every": 1, "deadline_ms": 1,
            "metadata": {"k": "v"}});
        let request = parse(json).unwrap();
        let serde_json::Value::Object(fields) = serde_json::to_value(request).unwrap() else {
            unreachable!("a struct is a map");
        };
        assert_eq!(fields.len(), 18, "a new field belongs into FIELDS as well");
        for name in fields.keys() {
            assert!(error.message.contains(name.as_str()), "{name}");
        }
    }
}
