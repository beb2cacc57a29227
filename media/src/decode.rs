//! From a file's bytes to a picture: what requests bring along.
//!
//! Bytes come from outside, so the size that a file claims is checked before memory is taken.

use std::io::Cursor;

use image::{ImageFormat, ImageReader, Limits};

use crate::{Error, Image};

/// The longest side read, in pixels.
pub const MAX_SIDE: u32 = 8192;
/// Most memory that decoding may take.
const MAX_BYTES: u64 = 192 << 20;

/// Reads a PNG, JPEG or WebP picture. What is transparent in it lies on black.
///
/// # Errors
/// [`Error::NotAPicture`] for other bytes and for broken files, [`Error::TooLarge`] for a side
/// beyond [`MAX_SIDE`].
pub fn decode(bytes: &[u8]) -> Result<Image, Error> {
    let unreadable = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => Error::TooLarge { max: MAX_SIDE },
        error => Error::NotAPicture { reason: error.to_string() },
    };
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let format = image::guess_format(bytes).ok().filter(|format| known.contains(format));
    let Some(format) = format else {
        let reason = "it starts like none of PNG, JPEG and WebP".to_owned();
        return Err(Error::NotAPicture { reason });
    };
    reader.set_format(format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let picture = reader.decode().map_err(unreadable)?.into_rgb8();
    let (width, height) = picture.dimensions();
    Image::new(width, height, picture.into_raw())
}

impl Image {
    /// How light a pixel is, 0 to 255, for each pixel: ITU-R BT.601's weights, as Pillow has them.
    #[must_use]
    pub fn grey(&self) -> Vec<u8> {
        let weigh = |pixel: &[u8]| {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
        };
        self.rgb.chunks_exact(3).map(weigh).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Media, OutputFormat, encode};

    fn picture() -> Image {
        let rgb = (0..4 * 2 * 3).map(|value| value * 10).collect();
        Image::new(4, 2, rgb).unwrap()
    }

    #[test]
    fn what_was_encoded_is_read_again() {
        for format in [OutputFormat::Png, OutputFormat::Webp] {
            let bytes = encode(&Media::Image(picture()), format, &[]).unwrap();
            assert_eq!(decode(&bytes).unwrap(), picture());
        }
        let jpeg = encode(&Media::Image(picture()), OutputFormat::Jpeg, &[]).unwrap();
        assert_eq!(decode(&jpeg).unwrap().width, 4);
    }

    #[test]
    fn other_bytes_and_broken_files_are_refused() {
        assert!(matches!(decode(b""), Err(Error::NotAPicture { .. })));
        assert!(matches!(decode(b"<svg></svg>"), Err(Error::NotAPicture { .. })));
        let whole = encode(&Media::Image(picture()), OutputFormat::Png, &[]).unwrap();
        let half = &whole[..whole.len() / 2];
        assert!(matches!(decode(half), Err(Error::NotAPicture { .. })));
    }

    #[test]
    fn a_bomb_is_refused_by_what_it_claims() {
        let mut bytes = encode(&Media::Image(picture()), OutputFormat::Png, &[]).unwrap();
        // the width in the header; its checksum follows the header's 13 bytes
        bytes[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        let crc = crc(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(matches!(decode(&bytes), Err(Error::TooLarge { .. })), "{:?}", decode(&bytes));
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
            })
        })
    }

    #[test]
    fn sizes_and_greys() {
        let small = picture().resized(2, 1);
        assert_eq!((small.width, small.height, small.rgb.len()), (2, 1, 6));
        let white = Image::new(1, 1, vec![255; 3]).unwrap();
        assert_eq!(white.grey(), [255]);
    }
}
