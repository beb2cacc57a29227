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
/// Text goes into `tEXt` where it is Latin-1 that reads as nothing else, and into `iTXt` (UTF-8)
/// elsewhere, as Pillow does;
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
        if is_latin1(&text) {
            encoder.add_text_chunk(keyword, text.into_owned())?;
        } else {
            encoder.add_itxt_chunk(keyword, text.into_owned())?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.rgb)?;
    writer.finish()
}

/// The text with that keyword of a PNG file, if it has one: wherever it stands, compressed or not.
/// Other programs that save a picture again keep its texts in a form of their own.
///
/// # Errors
/// [`Error::NotAPicture`] for other bytes and for broken files.
pub fn text(file: &[u8], keyword: &str) -> Result<Option<String>, Error> {
    let broken = |error: png::DecodingError| Error::NotAPicture { reason: error.to_string() };
    let limits = png::Limits { bytes: MAX_TEXT };
    let decoder = png::Decoder::new_with_limits(std::io::Cursor::new(file), limits);
    let mut reader = decoder.read_info().map_err(broken)?;
    // Texts may stand behind the pixels; what is before them counts in a file that ends early.
    let _ = reader.finish();
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword);
    if let Some(chunk) = plain {
        return Ok(Some(from_latin1(chunk.text.clone())));
    }
    if let Some(chunk) = info.utf8_text.iter().find(|chunk| chunk.keyword == keyword) {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_TEXT).map_err(broken)?;
        return chunk.get_text().map(Some).map_err(broken);
    }
    let packed = info.compressed_latin1_text.iter().find(|chunk| chunk.keyword == keyword);
    let Some(mut chunk) = packed.cloned() else { return Ok(None) };
    chunk.decompress_text_with_limit(MAX_TEXT).map_err(broken)?;
    chunk.get_text().map(|text| Some(from_latin1(text))).map_err(broken)
}

/// A text of a chunk for Latin-1: some programs (ImageMagick) put UTF-8 there.
fn from_latin1(text: String) -> String {
    let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
}

/// Whether a text is what [`from_latin1`] makes of its Latin-1.
fn is_latin1(text: &str) -> bool {
    text.chars().all(|char| u32::from(char) < 256) && from_latin1(text.to_owned()) == text
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

    /// A file with the text in one more chunk, before its pixels or behind them.
    fn with_chunk(kind: &[u8; 4], data: &[u8], behind: bool) -> Vec<u8> {
        let mut file = encode(&Image::new(1, 1, vec![0; 3]).unwrap(), &[]).unwrap();
        let body = [kind.as_slice(), data].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        let chunk = [&length, body.as_slice(), &crc.sum().to_be_bytes()].concat();
        let at = if behind { file.len() - 12 } else { 33 };
        file.splice(at..at, chunk);
        file
    }

    #[test]
    fn a_text_is_found_wherever_and_however_a_program_has_kept_it() {
        let packed = |text: &[u8]| {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
            std::io::Write::write_all(&mut encoder, text).unwrap();
            encoder.finish().unwrap()
        };
        let text = "{\"prompt\":\"caf\u{e9} \u{706b}\"}";
        let latin1 = "{\"prompt\":\"caf\u{e9}\"}";
        let latin1_bytes: Vec<_> = latin1.chars().map(|char| char as u8).collect();
        for behind in [false, true] {
            for (kind, data, wanted) in [
                (b"tEXt", [b"hearth\0".as_slice(), &latin1_bytes].concat(), latin1),
                (b"tEXt", [b"hearth\0".as_slice(), text.as_bytes()].concat(), text),
                (b"zTXt", [b"hearth\0\0".as_slice(), &packed(&latin1_bytes)].concat(), latin1),
                (b"zTXt", [b"hearth\0\0".as_slice(), &packed(text.as_bytes())].concat(), text),
                (b"iTXt", [b"hearth\0\0\0\0\0".as_slice(), text.as_bytes()].concat(), text),
                (
                    b"iTXt",
                    [b"hearth\0\x01\0en\0\0".as_slice(), &packed(text.as_bytes())].concat(),
                    text,
                ),
            ] {
                let file = with_chunk(kind, &data, behind);
                let found = super::text(&file, "hearth").unwrap();
                let kind = String::from_utf8_lossy(kind);
                assert_eq!(found.as_deref(), Some(wanted), "{kind}, behind the pixels: {behind}");
            }
        }
        // Latin-1 that reads as UTF-8 too is written so that it can't be taken for it.
        let odd = "\u{c3}\u{a9}";
        let chunk = TextChunk { keyword: "hearth", text: odd };
        let file = encode(&Image::new(1, 1, vec![0; 3]).unwrap(), &[chunk]).unwrap();
        assert_eq!(super::text(&file, "hearth").unwrap().as_deref(), Some(odd));
    }

    #[test]
    fn a_text_that_grows_beyond_the_bound_is_refused() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
        std::io::Write::write_all(&mut encoder, &vec![b' '; MAX_TEXT + 1]).unwrap();
        let data = [b"hearth\0\0".as_slice(), &encoder.finish().unwrap()].concat();
        assert!(super::text(&with_chunk(b"zTXt", &data, false), "hearth").is_err());
    }

    #[test]
    fn a_nul_in_a_prompt_leaves_the_file_readable() {
        let image = Image::new(1, 1, vec![0, 0, 0]).unwrap();
        let text = [TextChunk { keyword: "parameters", text: "a\0b" }];
        let (_, info) = decode(&encode(&image, &text).unwrap());
        assert_eq!(info.uncompressed_latin1_text[0].text, "a\u{a0}b");
    }
}
