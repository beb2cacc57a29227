//! PNG with text chunks, so that a picture says how it was made.

use std::borrow::Cow;

use crate::{Error, Image, OutputFormat};

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
    }

    #[test]
    fn a_nul_in_a_prompt_leaves_the_file_readable() {
        let image = Image::new(1, 1, vec![0, 0, 0]).unwrap();
        let text = [TextChunk { keyword: "parameters", text: "a\0b" }];
        let (_, info) = decode(&encode(&image, &text).unwrap());
        assert_eq!(info.uncompressed_latin1_text[0].text, "a\u{a0}b");
    }
}
