//! From an item to a file's bytes.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use hearth_api::request::OutputFormat;
use hearth_api::tensor::Dtype;

use crate::{Error, Image, Media, Tensor, TextChunk, npy, png};

/// JPEG quality, of 100; what image tools call "high".
const JPEG_QUALITY: u8 = 92;

/// Writes `media` in `format`. `text` is carried by PNG alone, the other formats leave it out.
///
/// # Errors
/// [`Error::Mismatch`] if the format can't hold such an item, [`Error::Shape`] if the item's bytes
/// don't fit its size, [`Error::Encoder`] if the encoder refuses.
pub fn encode(
    media: &Media,
    format: OutputFormat,
    text: &[TextChunk<'_>],
) -> Result<Vec<u8>, Error> {
    match (media, format) {
        (Media::Image(image), OutputFormat::Png) => png::encode(image, text),
        (Media::Image(image), OutputFormat::Jpeg) => jpeg(image),
        (Media::Image(image), OutputFormat::Webp) => webp(image),
        (Media::Image(image), OutputFormat::Npy) => {
            let shape = vec![image.height as usize, image.width as usize, 3];
            npy::encode(&Tensor { dtype: Dtype::U8, shape, data: image.rgb.clone() })
        }
        (Media::Image(_), OutputFormat::Wav | OutputFormat::Flac) => {
            Err(Error::Mismatch { format, what: "a picture", remedy: "png, jpeg, webp or npy" })
        }
        (Media::Tensor(tensor), OutputFormat::Npy) => npy::encode(tensor),
        (Media::Tensor(_), _) => Err(Error::Mismatch { format, what: "a tensor", remedy: "npy" }),
    }
}

fn jpeg(image: &Image) -> Result<Vec<u8>, Error> {
    image.check()?;
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY)
        .write_image(&image.rgb, image.width, image.height, ExtendedColorType::Rgb8)
        .map_err(|error| failed(OutputFormat::Jpeg, error))?;
    Ok(out)
}

fn webp(image: &Image) -> Result<Vec<u8>, Error> {
    image.check()?;
    let mut out = Vec::new();
    WebPEncoder::new_lossless(&mut out)
        .write_image(&image.rgb, image.width, image.height, ExtendedColorType::Rgb8)
        .map_err(|error| failed(OutputFormat::Webp, error))?;
    Ok(out)
}

fn failed(format: OutputFormat, source: image::ImageError) -> Error {
    Error::Encoder { format, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Image {
        let rgb = (0..=255u8).flat_map(|i| [i, 255 - i, i / 2]).collect();
        Image::new(16, 16, rgb).unwrap()
    }

    #[test]
    fn webp_is_lossless_and_jpeg_is_close() {
        let picture = gradient();
        let media = Media::Image(picture.clone());
        let webp = encode(&media, OutputFormat::Webp, &[]).unwrap();
        assert_eq!(image::load_from_memory(&webp).unwrap().into_rgb8().into_raw(), picture.rgb);
        let jpeg = encode(&media, OutputFormat::Jpeg, &[]).unwrap();
        let back = image::load_from_memory(&jpeg).unwrap().into_rgb8().into_raw();
        let worst = back.iter().zip(&picture.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst < 48, "{worst}");
    }

    #[test]
    fn a_picture_is_no_sound_and_a_tensor_no_picture() {
        let error = encode(&Media::Image(gradient()), OutputFormat::Wav, &[]).unwrap_err();
        assert_eq!(error.to_string(), "wav can't hold a picture; choose png, jpeg, webp or npy");
        let tensor = Media::Tensor(Tensor::f32(&[1], &[0.0]).unwrap());
        assert!(matches!(encode(&tensor, OutputFormat::Png, &[]), Err(Error::Mismatch { .. })));
    }
}
