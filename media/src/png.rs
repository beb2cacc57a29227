//! PNG with text chunks, so that a picture says how it was made.

use std::borrow::Cow;

use hearth_api::request::OutputFormat;

use crate::{Error, Image};

/// Most memory that reading text chunks may take.
const MAX_TEXT: usize = 16 << 20;

/// A text chunk of a PNG file: a keyword of 1 to 79 Latin-1 characters, and any text.
#[derive(Debug, Clone, Copy)]
pub struct TextChunk<'a> {
    /// What the text is, such as `parameters` (the infotext that image tools read).
    pub keyword: &'a str,
    /// The text.
    pub text: &'a str,
}

/// Writes `image` as an 8-bit RGB PNG.
///
/// Text goes into `tEXt` where it is Latin-1 and into `iTXt` (UTF-8) elsewhere, as Pillow does;
/// tools that read the infotext expect the former where it can be had.
pub(crate) fn encode(image: &Image, text: &[TextChunk<'_>]) -> Result<Vec<u8>, Error> {
    image.check()?;
    let mut out = Vec::new();
    write(image, text, &mut out)
        .map_err(|source| Error::Encoder { format: OutputFormat::Png, source: Box::new(source) })?;
    Ok(out)
}

fn write(
    image: &Image,
    text: &[TextChunk<'_>],
    out: &mut Vec<u8>,
) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(out, image.width, image.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for chunk in text {
        let keyword = chunk.keyword.to_owned();
        let text = without_nul(chunk.text);
        if text.chars().all(|c| u32::from(c) < 256) {
            encoder.add_text_chunk(keyword, text.into_owned())?;
        } else {
            encoder.add_itxt_chunk(keyword, text.into_owned())?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.rgb)?;
    writer.finish()
}

/// The text chunk with that keyword of a PNG file, if it has one before its pixels.
///
/// # Errors
/// [`Error::NotAPicture`] for other bytes and for broken files.
pub fn text(file: &[u8], keyword: &str) -> Result<Option<String>, Error> {
    let broken = |error: png::DecodingError| Error::NotAPicture { reason: error.to_string() };
    let limits = png::Limits { bytes: MAX_TEXT };
    let decoder = png::Decoder::new_with_limits(std::io::Cursor::new(file), limits);
    let reader = decoder.read_info().map_err(broken)?;
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword);
    if let Some(chunk) = plain {
        return Ok(Some(chunk.text.clone()));
    }
    let chunk = info.utf8_text.iter().find(|chunk| chunk.keyword == keyword);
    chunk.map(|chunk| chunk.get_text().map_err(broken)).transpose()
}

/// NUL ends a text field in PNG, so it can't be part of one.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{a0}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> (Vec<u8>, png::Info<'static>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        (pixels, reader.info().clone())
    }

    #[test]
    fn pixels_and_text_come_back() {
        let image = Image::new(2, 1, vec![1, 2, 3, 250, 251, 252]).unwrap();
        let text = [
            TextChunk { keyword: "parameters", text: "caf\u{e9}\nSteps: 20" },
            TextChunk { keyword: "hearth", text: "{\"prompt\":\"\u{706b}\"}" },
        ];
        let (pixels, info) = decode(&encode(&image, &text).unwrap());
        assert_eq!(pixels, image.rgb);
        let latin1 = &info.uncompressed_latin1_text;
        assert_eq!(latin1.len(), 1);
        assert_eq!(latin1[0].keyword, "parameters");
        assert_eq!(latin1[0].text, "caf\u{e9}\nSteps: 20");
        assert_eq!(info.utf8_text.len(), 1);
        assert_eq!(info.utf8_text[0].keyword, "hearth");
        assert_eq!(info.utf8_text[0].get_text().unwrap(), "{\"prompt\":\"\u{706b}\"}");
        let file = encode(&image, &text).unwrap();
        for chunk in text {
            assert_eq!(super::text(&file, chunk.keyword).unwrap().as_deref(), Some(chunk.text));
        }
        assert_eq!(super::text(&file, "other").unwrap(), None);
        assert!(super::text(&file[..40], "hearth").is_err());
    }

    #[test]
    fn a_nul_in_a_prompt_leaves_the_file_readable() {
        let image = Image::new(1, 1, vec![0, 0, 0]).unwrap();
        let text = [TextChunk { keyword: "parameters", text: "a\0b" }];
        let (_, info) = decode(&encode(&image, &text).unwrap());
        assert_eq!(info.uncompressed_latin1_text[0].text, "a\u{a0}b");
    }
}
