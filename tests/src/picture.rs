//! Pictures, and diffusers' own to compare them with.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// An RGB picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width and height in pixels.
    pub size: (u32, u32),
    rgb: Vec<u8>,
}

impl Picture {
    /// Reads a picture's file.
    ///
    /// # Panics
    /// When it is no picture.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let image = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let rgb = image.to_rgb8();
        Self { size: rgb.dimensions(), rgb: rgb.into_raw() }
    }

    /// Reads a picture's bytes.
    ///
    /// # Panics
    /// When they are no picture.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let rgb = image::load_from_memory(bytes).unwrap().to_rgb8();
        Self { size: rgb.dimensions(), rgb: rgb.into_raw() }
    }

    /// Writes it to a file.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn save(&self, path: &Path) {
        let (width, height) = self.size;
        image::save_buffer(path, &self.rgb, width, height, image::ExtendedColorType::Rgb8).unwrap();
    }

    /// Peak signal-to-noise ratio in dB; infinite for equal pictures.
    ///
    /// # Panics
    /// When the sizes differ.
    #[must_use]
    pub fn psnr(&self, other: &Self) -> f64 {
        assert_eq!(self.size, other.size);
        let square = |(&a, &b): (&u8, &u8)| (f64::from(a) - f64::from(b)).powi(2);
        let sum: f64 = self.rgb.iter().zip(&other.rgb).map(square).sum();
        #[expect(clippy::cast_precision_loss, reason = "some thousands of bytes")]
        let mean = sum / self.rgb.len() as f64;
        10.0 * (255.0_f64.powi(2) / mean).log10()
    }
}

/// The first request and picture in a reference file of diffusers' pipeline.
///
/// # Panics
/// When the file is not as the tool writes it.
#[must_use]
pub fn reference(model: &str, scheduler: &str) -> (Value, Picture) {
    let folder = crate::source().join("inference/tests/vectors/pipelines").join(model);
    let path = folder.join(format!("{scheduler}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let case = file["cases"][0].take();
    (case["request"].clone(), unpacked(&case["images"][0]))
}

/// The requests and pictures of diffusers' torch pipelines for one of the small models.
///
/// # Panics
/// When the file is not as the tool writes it.
#[must_use]
pub fn references(model: &str) -> Vec<(Value, Picture)> {
    let file = family(model);
    let cases = file["cases"].as_array().unwrap();
    cases.iter().map(|case| (case["request"].clone(), unpacked(&case["image"]))).collect()
}

/// The same as the tool writes it, with the pictures that the requests bring along.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn family(model: &str) -> Value {
    let folder = crate::source().join("inference/tests/vectors/pipelines/families");
    let path = folder.join(format!("{model}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// A picture in a reference file.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn unpacked(image: &Value) -> Picture {
    let side = |i: usize| u32::try_from(image["shape"][i].as_u64().unwrap()).unwrap();
    let packed = STANDARD.decode(image["zlib_base64"].as_str().unwrap()).unwrap();
    let mut rgb = Vec::new();
    flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_end(&mut rgb).unwrap();
    Picture { size: (side(1), side(0)), rgb }
}
