//! Why an item could not be encoded or decoded.

use hearth_api::request::OutputFormat;

/// An encoding or decoding failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The format exists, but this kind of item can't be written in it.
    #[error("{format} can't hold {what}; choose {remedy}")]
    Mismatch {
        /// The format asked for.
        format: OutputFormat,
        /// The kind of the item: `a picture`, `a tensor`.
        what: &'static str,
        /// Formats that can.
        remedy: &'static str,
    },
    /// The number of values doesn't fit the shape.
    #[error("{what} of shape {shape:?} needs {needed} bytes, got {got}")]
    Shape {
        /// The kind of the item.
        what: &'static str,
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes that the shape needs.
        needed: usize,
        /// Bytes given.
        got: usize,
    },
    /// Bytes that are no picture, or a broken one.
    #[error("not a picture that can be read: {reason}; give a whole PNG, JPEG or WebP file")]
    NotAPicture {
        /// What is wrong with them.
        reason: String,
    },
    /// A picture that claims to be larger than any that is read.
    #[error(
        "the picture is too large; give one of at most {max} pixels a side, with 8 bits a colour and no transparency if it is nearly that"
    )]
    TooLarge {
        /// The longest side read.
        max: u32,
    },
    /// The encoder refused.
    #[error("encoding {format} failed")]
    Encoder {
        /// The format asked for.
        format: OutputFormat,
        /// The encoder's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
