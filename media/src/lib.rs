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

/// One produced item, before it is encoded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Media {
    /// A picture.
    Image(Image),
    /// Raw numbers, such as latents.
    Tensor(Tensor),
}
