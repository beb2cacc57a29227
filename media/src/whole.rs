//! Whether a picture's file arrived whole, by what the file says of itself.
//!
//! Decoders give what they can of a file that ends early; a picture made from half of another is no
//! picture that somebody asked for. What lies behind a file's end doesn't matter.

use image::ImageFormat;

/// What of the file is missing; none of a whole one.
pub(crate) fn missing(bytes: &[u8], format: ImageFormat) -> Option<&'static str> {
    let is_whole = match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::WebP => webp(bytes),
        _ => Some(()),
    };
    match is_whole {
        Some(()) => None,
        None => Some("it ends before its end: it arrived in part"),
    }
}

/// Chunks up to the one that ends the file (PNG, section 5).
fn png(bytes: &[u8]) -> Option<()> {
    const SIGNATURE: usize = 8;
    let mut rest = bytes.get(SIGNATURE..)?;
    loop {
        let (length, after) = rest.split_first_chunk()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        // The data and its checksum.
        rest = after.get(length.checked_add(4)?..)?;
        if kind == b"IEND" {
            return Some(());
        }
    }
}

/// Segments up to the end of the image (ITU-T T.81, annex B).
fn jpeg(bytes: &[u8]) -> Option<()> {
    const END_OF_IMAGE: u8 = 0xd9;
    const START_OF_SCAN: u8 = 0xda;
    let mut rest = bytes;
    loop {
        let (marker, after) = next_marker(rest)?;
        rest = match marker {
            END_OF_IMAGE => return Some(()),
            // These stand alone.
            0x01 | 0xd0..=0xd8 => after,
            other => {
                let (length, _) = after.split_first_chunk()?;
                let segment = after.get(usize::from(u16::from_be_bytes(*length))..)?;
                if other == START_OF_SCAN { after_scan(segment)? } else { segment }
            }
        };
    }
}

/// The next marker's code and what follows it.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let at = bytes.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
    Some((bytes[at + 1], &bytes[at + 2..]))
}

/// What follows a scan's data: the first marker in it that doesn't restart it.
fn after_scan(mut data: &[u8]) -> Option<&[u8]> {
    loop {
        let (marker, after) = next_marker(data)?;
        if !matches!(marker, 0xd0..=0xd7) {
            return data.get(data.len() - after.len() - 2..);
        }
        data = after;
    }
}

/// As many bytes as the container says (RFC 9649, section 2.4).
fn webp(bytes: &[u8]) -> Option<()> {
    let length = bytes.get(4..8)?.first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    bytes.get(8..)?.get(..length).map(|_| ())
}
