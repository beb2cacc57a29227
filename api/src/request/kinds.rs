//! The words of a request: tasks and formats.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

/// Whose normal numbers the noise is made of: torch draws others on a GPU from the same seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoiseDevice {
    /// `torch.Generator("cpu")`, diffusers' default.
    #[default]
    Cpu,
    /// `torch.Generator("cuda")`.
    Cuda,
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
    /// The name, as in a request.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Npy => "npy",
        }
    }

    /// The IANA media type; `.npy` has none registered and gets the generic one.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Wav => "audio/wav",
            Self::Flac => "audio/flac",
            Self::Npy => "application/octet-stream",
        }
    }

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

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
