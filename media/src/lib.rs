//! What a request produces and brings along, and how it becomes a file or is read from one.
//!
//! Values in memory ([`Image`], [`Tensor`]) and one encoder for each format that they can be written
//! in. Pictures are decoded too. No runtime, no files: it is all bytes. Audio has no encoder yet.

mod decode;
mod encode;
mod error;
mod image;
mod infotext;
pub mod npy;
mod png;
mod resize;
mod tensor;
mod whole;

pub use self::decode::{MAX_SIDE, decode};
pub use self::encode::encode;
pub use self::error::Error;
pub use self::image::Image;
pub use self::infotext::Infotext;
pub use self::png::{TextChunk, text as png_text};
pub use self::tensor::Tensor;

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
                let shape = tensor.shape.iter().map(|&length| length as u64).collect();
                MediaFacts::Tensor(TensorHeader { dtype: tensor.dtype, shape })
            }
        }
    }
}
