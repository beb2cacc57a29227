//! From a file's bytes to a picture: what requests bring along.
//!
//! As diffusers' `load_image` reads it: the first picture of several, turned as its Exif data says,
//! and without its transparency (colours stay as they are beneath it). Of 16 bits the upper 8 are
//! taken, in grey too, where Pillow makes white of all but the darkest.
//!
//! Bytes come from outside, so the size that a file claims is checked before memory is taken.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::{Error, Image, whole};

/// The longest side read, in pixels.
pub const MAX_SIDE: u32 = 8192;
/// Most bytes of a decoded picture, and most memory that decoding may take besides.
const MAX_BYTES: u64 = 192 << 20;

/// Reads a PNG, JPEG or WebP picture.
///
/// # Errors
/// [`Error::NotAPicture`] for other bytes, for broken files and for those that arrived in part,
/// [`Error::TooLarge`] for a side beyond [`MAX_SIDE`], or too many pixels.
pub fn decode(bytes: &[u8]) -> Result<Image, Error> {
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    let format = image::guess_format(bytes).ok().filter(|format| known.contains(format));
    let Some(format) = format else {
        let reason = "it starts like none of PNG, JPEG and WebP".to_owned();
        return Err(Error::NotAPicture { reason });
    };
    let picture = match (read(bytes, format), whole::missing(bytes, format)) {
        // A size that is too large is said first: it may be what makes a file look cut.
        (Err(large @ Error::TooLarge { .. }), _) => return Err(large),
        (_, Some(reason)) => return Err(Error::NotAPicture { reason: reason.to_owned() }),
        (read, None) => read?,
    };
    let (width, height) = picture.dimensions();
    Image::new(width, height, picture.into_raw())
}

fn read(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, Error> {
    let mut reader = ImageReader::new(Cursor::new(bytes));
    reader.set_format(format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    if decoder.total_bytes() > MAX_BYTES {
        return Err(Error::TooLarge { max: MAX_SIDE });
    }
    // As in Pillow, Exif data that can't be read says nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    let mut picture = DynamicImage::ImageRgb8(upper_bits(picture).into_rgb8());
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

fn unreadable(error: image::ImageError) -> Error {
    match error {
        image::ImageError::Limits(_) => Error::TooLarge { max: MAX_SIDE },
        error => Error::NotAPicture { reason: error.to_string() },
    }
}

/// The upper 8 bits of samples of 16.
fn upper_bits(picture: DynamicImage) -> DynamicImage {
    fn upper<P16, P8>(from: &ImageBuffer<P16, Vec<u16>>) -> Option<ImageBuffer<P8, Vec<u8>>>
    where
        P16: image::Pixel<Subpixel = u16>,
        P8: image::Pixel<Subpixel = u8>,
    {
        let samples = from.as_raw().iter().map(|sample| (sample >> 8) as u8).collect();
        ImageBuffer::from_raw(from.width(), from.height(), samples)
    }
    let upper = match &picture {
        DynamicImage::ImageLuma16(from) => upper(from).map(DynamicImage::ImageLuma8),
        DynamicImage::ImageLumaA16(from) => upper(from).map(DynamicImage::ImageLumaA8),
        DynamicImage::ImageRgb16(from) => upper(from).map(DynamicImage::ImageRgb8),
        DynamicImage::ImageRgba16(from) => upper(from).map(DynamicImage::ImageRgba8),
        _ => None,
    };
    upper.unwrap_or(picture)
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
    use hearth_api::request::OutputFormat;

    use crate::{Media, encode};

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

    /// A picture whose file has some hundred bytes in every format.
    fn noise() -> Image {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        Image::new(8, 10, (0..8 * 10 * 3).map(|_| next()).collect()).unwrap()
    }

    #[test]
    fn every_cut_of_every_format_is_refused() {
        for format in [OutputFormat::Png, OutputFormat::Webp, OutputFormat::Jpeg] {
            let whole = encode(&Media::Image(noise()), format, &[]).unwrap();
            assert!(decode(&whole).is_ok(), "{format}");
            for cut in 0..whole.len() {
                let refused = decode(&whole[..cut]);
                let partial = matches!(refused, Err(Error::NotAPicture { .. }));
                assert!(partial, "{format} cut at {cut} of {}: {refused:?}", whole.len());
            }
            let more = [whole.as_slice(), b"what another program has left behind it"].concat();
            assert!(decode(&more).is_ok() || format == OutputFormat::Webp, "{format}");
        }
        let whole = encode(&Media::Image(noise()), OutputFormat::Jpeg, &[]).unwrap();
        let message = decode(&whole[..whole.len() * 9 / 10]).unwrap_err().to_string();
        assert!(message.contains("it arrived in part; give a whole PNG, JPEG"), "{message}");
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

    /// Exif data that says one thing, how the picture is turned.
    fn exif(orientation: u8) -> Vec<u8> {
        let tag = [0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
        [b"II*\0\x08\0\0\0\x01\0".as_slice(), &tag, &[0; 4]].concat()
    }

    /// The picture as a PNG with one more chunk before its pixels.
    fn with_chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = encode(&Media::Image(picture()), OutputFormat::Png, &[]).unwrap();
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        let body = [kind, data].concat();
        let chunk = [&length, body.as_slice(), &crc(&body).to_be_bytes()].concat();
        bytes.splice(33..33, chunk);
        bytes
    }

    #[test]
    fn pictures_are_turned_as_their_exif_data_says() {
        // Rows of the numbers of the first picture's pixels, as ImageOps.exif_transpose puts them.
        let turned: [(u8, &[&[u8]]); 10] = [
            (0, &[&[0, 1, 2, 3], &[4, 5, 6, 7]]),
            (1, &[&[0, 1, 2, 3], &[4, 5, 6, 7]]),
            (2, &[&[3, 2, 1, 0], &[7, 6, 5, 4]]),
            (3, &[&[7, 6, 5, 4], &[3, 2, 1, 0]]),
            (4, &[&[4, 5, 6, 7], &[0, 1, 2, 3]]),
            (5, &[&[0, 4], &[1, 5], &[2, 6], &[3, 7]]),
            (6, &[&[4, 0], &[5, 1], &[6, 2], &[7, 3]]),
            (7, &[&[7, 3], &[6, 2], &[5, 1], &[4, 0]]),
            (8, &[&[3, 7], &[2, 6], &[1, 5], &[0, 4]]),
            (9, &[&[0, 1, 2, 3], &[4, 5, 6, 7]]),
        ];
        for (orientation, rows) in turned {
            let read = decode(&with_chunk(b"eXIf", &exif(orientation))).unwrap();
            // The numbers are the picture's first bytes: pixel n has 30 n.
            let pixels: Vec<_> = read.rgb.chunks_exact(3).map(|pixel| pixel[0] / 30).collect();
            assert_eq!(pixels, rows.concat(), "{orientation}");
            assert_eq!((read.width as usize, read.height as usize), (rows[0].len(), rows.len()));
        }
        let jpeg = encode(&Media::Image(picture()), OutputFormat::Jpeg, &[]).unwrap();
        let data = [b"Exif\0\0".as_slice(), &exif(6)].concat();
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        let turned = [&jpeg[..2], &[0xff, 0xe1], &length, &data, &jpeg[2..]].concat();
        assert_eq!((decode(&turned).unwrap().width, decode(&turned).unwrap().height), (2, 4));
        let garbage = decode(&with_chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")).unwrap();
        assert_eq!(garbage, picture());
    }

    #[test]
    fn what_is_transparent_keeps_its_colour_and_long_samples_their_upper_bits() {
        let png = |kind, depth, samples: &[u8]| {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
            encoder.set_color(kind);
            encoder.set_depth(depth);
            if kind == png::ColorType::Indexed {
                encoder.set_palette(vec![9, 8, 7, 1, 2, 3]);
                encoder.set_trns(vec![0, 255]);
            }
            encoder.write_header().unwrap().write_image_data(samples).unwrap();
            decode(&bytes).unwrap().rgb
        };
        use png::BitDepth::{Eight, Sixteen};
        use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        assert_eq!(png(Rgba, Eight, &[1, 2, 3, 0, 4, 5, 6, 128]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(png(GrayscaleAlpha, Eight, &[7, 0, 9, 128]), [7, 7, 7, 9, 9, 9]);
        assert_eq!(png(Indexed, Eight, &[0, 1]), [9, 8, 7, 1, 2, 3]);
        assert_eq!(png(Grayscale, Sixteen, &[1, 255, 200, 255]), [1, 1, 1, 200, 200, 200]);
        let long = [1, 255, 2, 255, 3, 255, 254, 0, 253, 0, 252, 0];
        assert_eq!(png(Rgb, Sixteen, &long), [1, 2, 3, 254, 253, 252]);
        let long = [1, 255, 2, 255, 3, 255, 0, 0, 254, 0, 253, 0, 252, 0, 0, 0];
        assert_eq!(png(Rgba, Sixteen, &long), [1, 2, 3, 254, 253, 252]);
    }

    #[test]
    fn a_large_jpeg_is_refused_by_its_header() {
        let mut jpeg = encode(&Media::Image(picture()), OutputFormat::Jpeg, &[]).unwrap();
        let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
        let refusal = decode(&jpeg).unwrap_err();
        assert!(matches!(refusal, Error::TooLarge { .. }), "{refusal}");
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
