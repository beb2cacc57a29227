//! Pictures in another size, as Pillow has them to the last bit: diffusers resizes with Pillow, and
//! what a picture is made from decides what it becomes.
//!
//! Lanczos' filter of three lobes, along rows and along columns, in fixed point with bytes in between.

use std::f64::consts::PI;

use crate::Image;

const LOBES: f64 = 3.0;
/// Bits after the point of a weight: what 32 leave beside a byte and two bits of headroom.
const PRECISION: u32 = 32 - 8 - 2;
const CHANNELS: usize = 3;

impl Image {
    /// The picture in another size, by Lanczos' filter.
    #[must_use]
    pub fn resized(&self, width: u32, height: u32) -> Self {
        // Columns come first where they shrink by far more than rows do.
        let lost = |own: u32, wanted: u32| i64::from(own) - i64::from(wanted);
        let (across, down) = (lost(self.width, width), lost(self.height, height));
        match down > 0 && 2 * across < down {
            true => self.with_height(height).with_width(width),
            false => self.with_width(width).with_height(height),
        }
    }

    fn with_width(&self, width: u32) -> Self {
        if width == self.width {
            return self.clone();
        }
        let (own, wanted) = (self.width as usize, width as usize);
        let rgb = along_rows(&self.rgb, own, &weights(own, wanted));
        Self { width, height: self.height, rgb }
    }

    fn with_height(&self, height: u32) -> Self {
        if height == self.height {
            return self.clone();
        }
        let (own, wanted) = (self.height as usize, height as usize);
        let row = self.width as usize * CHANNELS;
        let rgb = along_columns(&self.rgb, row, &weights(own, wanted));
        Self { width: self.width, height, rgb }
    }
}

/// What makes one pixel of a line: the first one that counts, and the weights from it on.
struct Window {
    first: usize,
    weights: Vec<i64>,
}

fn weights(own: usize, wanted: usize) -> Vec<Window> {
    let scale = own as f64 / wanted as f64;
    let stretch = scale.max(1.0);
    let support = LOBES * stretch;
    let window = |place: usize| {
        let center = (place as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(own);
        let shrink = 1.0 / stretch;
        let shares = (first..end).map(|at| lanczos((at as f64 - center + 0.5) * shrink));
        let shares: Vec<_> = shares.collect();
        let sum: f64 = shares.iter().sum();
        let fixed = |share: f64| (share / sum * f64::from(1_u32 << PRECISION)).round() as i64;
        Window { first, weights: shares.into_iter().map(fixed).collect() }
    };
    (0..wanted).map(window).collect()
}

fn lanczos(x: f64) -> f64 {
    if (-LOBES..LOBES).contains(&x) { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

fn along_rows(rgb: &[u8], own: usize, windows: &[Window]) -> Vec<u8> {
    let rows = rgb.chunks_exact(own * CHANNELS);
    let mut out = Vec::with_capacity(rows.len() * windows.len() * CHANNELS);
    for row in rows {
        for Window { first, weights } in windows {
            let mut sums = [1_i64 << (PRECISION - 1); CHANNELS];
            let pixels = row[first * CHANNELS..].chunks_exact(CHANNELS);
            for (pixel, weight) in pixels.zip(weights) {
                for (sum, byte) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i64::from(*byte);
                }
            }
            out.extend(sums.map(byte));
        }
    }
    out
}

fn along_columns(rgb: &[u8], row: usize, windows: &[Window]) -> Vec<u8> {
    let mut out = Vec::with_capacity(row * windows.len());
    let mut sums = vec![0; row];
    for Window { first, weights } in windows {
        sums.fill(1_i64 << (PRECISION - 1));
        for (line, weight) in rgb[first * row..].chunks_exact(row).zip(weights) {
            for (sum, byte) in sums.iter_mut().zip(line) {
                *sum += weight * i64::from(*byte);
            }
        }
        out.extend(sums.iter().copied().map(byte));
    }
    out
}

fn byte(sum: i64) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of noise that the test of Pillow's side makes as well.
    fn noise(width: u32, height: u32) -> Image {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let rgb = (0..width * height * 3).map(|_| next()).collect();
        Image::new(width, height, rgb).unwrap()
    }

    fn digest(image: &Image) -> u32 {
        image.rgb.iter().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()))
    }

    /// The digests are of `Image.resize(size, Resampling.LANCZOS)`, Pillow 13.0.
    #[test]
    fn resized_pictures_are_pillows_own() {
        for (own, wanted, pillows) in DIGESTS {
            let resized = noise(own.0, own.1).resized(wanted.0, wanted.1);
            assert_eq!((resized.width, resized.height), wanted);
            assert_eq!(digest(&resized), pillows, "{own:?} to {wanted:?}");
        }
    }

    type Size = (u32, u32);
    const DIGESTS: [(Size, Size, u32); 7] = [
        ((37, 45), (48, 32), 4_170_070_163),
        ((48, 32), (37, 45), 4_153_627_704),
        ((100, 80), (16, 16), 1_589_896_864),
        ((8, 8), (64, 64), 450_632_386),
        ((64, 20), (64, 33), 2_942_906_591),
        ((20, 64), (33, 64), 2_324_056_713),
        ((3, 2), (1, 1), 164_411),
    ];
}
