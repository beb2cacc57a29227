//! The file formats a caller can ask for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A file format, named as in `output_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// Lossless picture; carries text chunks that say how it was made.
    Png,
    /// Lossy picture.
    Jpeg,
    /// Lossless WebP picture.
    Webp,
    /// Uncompressed audio.
    Wav,
    /// Lossless compressed audio.
    Flac,
    /// `NumPy` array.
    Npy,
}

impl OutputFormat {
    /// Every format, in the order shown to people.
    pub const ALL: [Self; 6] =
        [Self::Png, Self::Jpeg, Self::Webp, Self::Wav, Self::Flac, Self::Npy];

    /// The name used in requests.
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

    /// The file name extension, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            other => other.name(),
        }
    }

    /// The format a file name's extension stands for, if any.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        let lower = extension.to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.extension() == lower || format.name() == lower)
    }

    pub(crate) fn known() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OutputFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name || (name == "jpg" && *format == Self::Jpeg))
            .ok_or_else(|| Error::UnknownFormat { name: name.to_owned() })
    }
}
