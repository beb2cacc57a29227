//! Limits on the predicted clean sample: plain clipping and dynamic thresholding.

use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;

/// What is done to a predicted clean sample.
#[derive(Debug)]
pub(crate) enum Limit {
    /// Nothing.
    None,
    /// Clipped to ± this.
    Clip(f32),
    /// Thresholded at a quantile of its own magnitudes.
    Dynamic(Dynamic),
}

/// Dynamic thresholding (Saharia et al. 2022, section 2.3).
#[derive(Debug)]
pub(crate) struct Dynamic {
    ratio: f32,
    max: f32,
}

impl Limit {
    /// Reads `thresholding` and its keys.
    pub(crate) fn read_thresholding(fields: &Fields<'_>) -> Result<Self, Error> {
        if !fields.bool("thresholding", false)? {
            return Ok(Self::None);
        }
        let ratio = fields.positive("dynamic_thresholding_ratio", 0.995)?;
        if ratio > 1.0 {
            let expected = "a quantile above 0, up to 1";
            return Err(Error::invalid("dynamic_thresholding_ratio", ratio, expected));
        }
        let max = fields.positive("sample_max_value", 1.0)? as f32;
        Ok(Self::Dynamic(Dynamic { ratio: ratio as f32, max }))
    }

    /// Reads thresholding, and clipping where there is none: diffusers does one or the other.
    pub(crate) fn read(fields: &Fields<'_>, clips: bool) -> Result<Self, Error> {
        let range = fields.positive("clip_sample_range", 1.0)? as f32;
        let clip = fields.bool("clip_sample", clips)?;
        Ok(match Self::read_thresholding(fields)? {
            Self::None if clip => Self::Clip(range),
            limit => limit,
        })
    }

    /// Whether it does anything.
    pub(crate) fn is_on(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Applies it; `magnitudes` is room to sort in.
    pub(crate) fn apply(&self, sample: &mut [f32], magnitudes: &mut Vec<f32>) {
        match self {
            Self::None => {}
            Self::Clip(range) => clamp(sample, *range),
            Self::Dynamic(dynamic) => dynamic.apply(sample, magnitudes),
        }
    }
}

impl Dynamic {
    /// Clips to the quantile s of the magnitudes and divides by s, where 1 ≤ s ≤ `max`.
    fn apply(&self, sample: &mut [f32], magnitudes: &mut Vec<f32>) {
        magnitudes.clear();
        magnitudes.extend(sample.iter().map(|value| value.abs()));
        magnitudes.sort_unstable_by(f32::total_cmp);
        // torch clamps to the upper bound last, so a maximum below 1 wins
        let limit = quantile(magnitudes, self.ratio).max(1.0).min(self.max);
        clamp(sample, limit);
        for value in sample {
            *value /= limit;
        }
    }
}

/// The quantile of sorted values, linear between neighbours.
fn quantile(sorted: &[f32], ratio: f32) -> f32 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let rank = ratio * last as f32;
    let low = (rank.floor() as usize).min(last);
    let high = (low + 1).min(last);
    sorted[low] + (rank - rank.floor()) * (sorted[high] - sorted[low])
}

fn clamp(sample: &mut [f32], limit: f32) {
    for value in sample {
        *value = value.max(-limit).min(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 4.0], 0.5), 1.5);
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 4.0], 1.0), 4.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn dynamic_thresholding_scales_into_the_unit_range() {
        let dynamic = Dynamic { ratio: 1.0, max: 10.0 };
        let mut magnitudes = Vec::new();
        let mut sample = [-4.0, 1.0, 2.0];
        dynamic.apply(&mut sample, &mut magnitudes);
        assert_eq!(sample, [-1.0, 0.25, 0.5]);
        let mut quiet = [0.5, -0.25];
        dynamic.apply(&mut quiet, &mut magnitudes);
        assert_eq!(quiet, [0.5, -0.25]);
    }
}
