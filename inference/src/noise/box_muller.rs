//! Uniform to normal numbers (Box & Muller 1958), in the two precisions that torch uses.
//!
//! torch's single-precision form is an AVX2 kernel on Cephes' polynomials for logarithm, sine and
//! cosine, built with fused multiplications. The last bit of each result hangs on which additions
//! are fused, so they are spelt out here as `mul_add` where torch 2.15's build has them; that
//! gives its bits on every machine.

use std::f32::consts::TAU;

/// Replaces 16 uniform numbers by normal ones: number j and number j + 8 make a pair.
pub(super) fn sixteen(block: &mut [f32; 16]) {
    let (first, second) = block.split_at_mut(8);
    for (first, second) in first.iter_mut().zip(second) {
        // [0, 1) to (0, 1], for the logarithm
        let radius = (-2.0 * ln(1.0 - *first)).sqrt();
        let (sine, cosine) = sin_cos(TAU * *second);
        // adding zero turns −0 into 0, as torch's "times deviation plus mean" does
        *first = radius * cosine + 0.0;
        *second = radius * sine + 0.0;
    }
}

/// A pair of normal numbers from two uniform ones, in double precision.
pub(super) fn pair(angle: f64, distance: f64) -> (f64, f64) {
    let radius = (-2.0 * (-distance).ln_1p()).sqrt();
    let (sine, cosine) = (2.0 * std::f64::consts::PI * angle).sin_cos();
    (radius * cosine, radius * sine)
}

/// Natural logarithm of a normal number above zero (Cephes `logf`).
#[expect(clippy::excessive_precision, reason = "coefficients as published")]
fn ln(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 9] = [
        7.037_683_629_2e-2,
        -1.151_461_031_0e-1,
        1.167_699_874_0e-1,
        -1.242_014_084_6e-1,
        1.424_932_278_7e-1,
        -1.666_805_766_5e-1,
        2.000_071_476_5e-1,
        -2.499_999_399_3e-1,
        3.333_333_117_4e-1,
    ];
    let bits = x.max(f32::MIN_POSITIVE).to_bits();
    let mut exponent = (bits >> 23) as f32 - 126.0;
    let mut mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    if mantissa < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1.0;
        mantissa = (mantissa - 1.0) + mantissa;
    } else {
        mantissa -= 1.0;
    }
    let square = mantissa * mantissa;
    // ln 2 in two parts, the small one first
    let curve = polynomial(&COEFFICIENTS, mantissa) * mantissa;
    let series = curve.mul_add(square, exponent * -2.121_944_40e-4);
    let small = square.mul_add(-0.5, series);
    exponent.mul_add(0.693_359_375, mantissa + small)
}

/// Sine and cosine of an angle from 0 to 2π (Cephes `sinf` and `cosf`).
#[expect(clippy::excessive_precision, reason = "coefficients as published")]
fn sin_cos(angle: f32) -> (f32, f32) {
    const SINE: [f32; 3] = [-1.951_529_589_1e-4, 8.332_160_873_6e-3, -1.666_665_461_1e-1];
    const COSINE: [f32; 3] =
        [2.443_315_711_809_948e-5, -1.388_731_625_493_765e-3, 4.166_664_568_298_827e-2];
    const FOUR_OVER_PI: f32 = 1.273_239_544_735_16;
    // π/4 in three parts, so that the remainder keeps its digits
    const PARTS: [f32; 3] =
        [0.785_156_25, 2.418_756_484_985_351_562_5e-4, 3.774_894_977_445_941_08e-8];

    let octant = ((angle * FOUR_OVER_PI) as u32 + 1) & !1;
    let rest = PARTS.iter().fold(angle, |rest, part| (octant as f32).mul_add(-part, rest));
    let square = rest * rest;
    let curve = polynomial(&COSINE, square) * square;
    let cosine = curve.mul_add(square, -(square * 0.5)) + 1.0;
    let sine = (polynomial(&SINE, square) * square).mul_add(rest, rest);

    let (sine, cosine) = if octant & 2 == 0 { (sine, cosine) } else { (cosine, sine) };
    let sine = if octant & 4 == 0 { sine } else { -sine };
    let cosine = if octant.wrapping_sub(2) & 4 == 0 { -cosine } else { cosine };
    (sine, cosine)
}

/// Horner's rule, highest power first.
fn polynomial(coefficients: &[f32], x: f32) -> f32 {
    coefficients.iter().copied().reduce(|sum, next| sum.mul_add(x, next)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_near_the_library() {
        for step in 0..=10_000_u16 {
            let share = f32::from(step) / 10_000.0;
            let (sine, cosine) = sin_cos(TAU * share);
            assert!((sine - (TAU * share).sin()).abs() < 2e-7, "sine of {share} turns");
            assert!((cosine - (TAU * share).cos()).abs() < 2e-7, "cosine of {share} turns");
            let x = share.max(1e-7);
            assert!((ln(x) - x.ln()).abs() <= 2e-6, "logarithm of {x}");
        }
        assert_eq!(ln(1.0), 0.0);
    }
}
