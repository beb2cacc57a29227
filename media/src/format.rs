//! The file formats that there are encoders for, or will be. How a request and a file's name say
//! which one is meant is the protocol's.

use std::fmt;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// The name, as in a request's `output_format`.
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
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
