//! What a request produces and brings along, and how it becomes a file or is read from one.
//!
//! Values in memory ([`Image`], [`Tensor`]), the formats they can be written in ([`OutputFormat`])
//! and one encoder per format. Pictures are decoded too. No runtime, no
//! files: it is all bytes. Audio has its formats
//! named here and no encoder yet.

mod decode;
mod encode;
mod error;
mod format;
mod image;
mod infotext;
pub mod npy;
mod png;
mod resize;
mod tensor;

pub use self::decode::{MAX_SIDE, decode};
pub use self::encode::encode;
pub use self::error::Error;
pub use self::format::OutputFormat;
pub use self::image::Image;
pub use self::infotext::Infotext;
pub use self::png::{TextChunk, text as png_text};
pub use self::tensor::{Dtype, Tensor};

use hearth_api::MediaFacts;
use hearth_api::tensor::TensorHeader;

/// One produced item, before it is encoded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Media {
    /// A picture.
    Image(Image),
    /// Raw numbers, such as latents.
    Tensor(Tensor),
}

impl Media {
    /// What it consists of, as results say it.
    #[must_use]
    pub fn facts(&self) -> MediaFacts {
        match self {
            Self::Image(image) => MediaFacts::Image { width: image.width, height: image.height },
            Self::Tensor(tensor) => {
                let dtype = match tensor.dtype {
                    Dtype::F32 => hearth_api::tensor::Dtype::F32,
                    Dtype::F16 => hearth_api::tensor::Dtype::F16,
                    Dtype::U8 => hearth_api::tensor::Dtype::U8,
                };
                let shape = tensor.shape.iter().map(|&length| length as u64).collect();
                MediaFacts::Tensor(TensorHeader { dtype, shape })
            }
        }
    }
}
