//! Which timesteps and noise levels a run visits: the spacings over the training schedule, and
//! the curves that levels can follow instead.
//!
//! In double precision and in numpy's order of operations, as diffusers computes them, so that
//! rounding to whole timesteps falls the same way.

use special::Beta;

use super::betas::Training;
use super::error::Error;
use super::fields::Fields;
use super::run::Run;

/// How timesteps are spread over the training schedule (Lin et al. 2023, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Multiples of the whole step ratio, from 0 up.
    Leading,
    /// Steps down from the schedule's end.
    Trailing,
    /// Even from the first to the last timestep.
    Linspace,
}

impl Spacing {
    pub(super) fn read(fields: &Fields<'_>, default: &str) -> Result<Self, Error> {
        let choices = [
            ("leading", Self::Leading),
            ("trailing", Self::Trailing),
            ("linspace", Self::Linspace),
        ];
        fields.choice("timestep_spacing", default, &choices)
    }

    /// `steps` timesteps over `train` training timesteps, noisiest first. Whole numbers, but for
    /// `Linspace`, which callers round where their rule wants it.
    pub(super) fn timesteps(self, train: usize, steps: usize, offset: usize) -> Vec<f64> {
        match self {
            Self::Leading => multiples(train / steps, steps, offset),
            Self::Trailing => trailing(train, train as f64 / steps as f64),
            Self::Linspace => {
                let mut timesteps = linspace(0.0, train as f64 - 1.0, steps);
                timesteps.reverse();
                timesteps
            }
        }
    }
}

/// The run's timesteps as whole ones within the schedule, noisiest first: as given, or spaced.
pub(super) fn whole_timesteps(
    fields: &Fields<'_>,
    training: &Training,
    run: &Run,
) -> Result<Vec<usize>, Error> {
    if let Some(given) = &run.timesteps {
        return given_timesteps(given, training.len());
    }
    training.check_steps(run.steps)?;
    let offset = fields.integer("steps_offset", 0, 0..=training.len())?;
    let spaced = Spacing::read(fields, "leading")?.timesteps(training.len(), run.steps, offset);
    let timesteps: Vec<_> = spaced.iter().map(|step| step.round_ties_even() as usize).collect();
    match timesteps.iter().find(|timestep| **timestep >= training.len()) {
        None => Ok(timesteps),
        Some(beyond) => {
            let reason = format!("timestep {beyond} is beyond the schedule; take fewer steps");
            Err(fields.rejected("steps_offset", offset, &reason))
        }
    }
}

/// A given list as whole timesteps, cut where they are fractions.
pub(super) fn given_timesteps(given: &[f64], train: usize) -> Result<Vec<usize>, Error> {
    if given[0] >= train as f64 {
        let expected = format!("timesteps below {train}, where the schedule ends");
        return Err(Error::invalid("timesteps", format!("a list from {}", given[0]), expected));
    }
    let whole: Vec<_> = given.iter().map(|timestep| *timestep as usize).collect();
    if whole.windows(2).any(|pair| pair[0] == pair[1]) {
        let expected = "whole timesteps, each once";
        return Err(Error::invalid("timesteps", "a list with fractions", expected));
    }
    Ok(whole)
}

/// The largest `count` multiples of `ratio` below `count * ratio`, falling, plus `offset`.
pub(super) fn multiples(ratio: usize, count: usize, offset: usize) -> Vec<f64> {
    (0..count).rev().map(|index| (index * ratio + offset) as f64).collect()
}

/// Whole timesteps from `start - 1` down in steps of `ratio`, while not below 0.
///
/// `numpy.arange` gives one value more for some ratios (1000/61 is one), by rounding; that value
/// is timestep −1, which no model was trained for, and is left out here.
pub(super) fn trailing(start: usize, ratio: f64) -> Vec<f64> {
    let start = start as f64;
    // numpy multiplies the difference of the first two values, not the step it was given
    let difference = (start - ratio) - start;
    let count = (start / ratio).ceil() as usize;
    (0..count)
        .map(|index| (start + index as f64 * difference).round_ties_even() - 1.0)
        .filter(|timestep| *timestep >= 0.0)
        .collect()
}

/// `count` numbers from `start` to `stop`, as `numpy.linspace` has them.
pub(super) fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    if count < 2 {
        return vec![start; count];
    }
    let step = (stop - start) / (count - 1) as f64;
    let mut values: Vec<f64> = (0..count).map(|index| index as f64 * step + start).collect();
    values[count - 1] = stop;
    values
}

/// The table's value at a fractional index, clamped to its ends, as `numpy.interp` has it.
pub(super) fn interpolate(table: &[f32], index: f64) -> f64 {
    let last = table.len() - 1;
    let at = |index: usize| f64::from(table[index.min(last)]);
    let whole = index.max(0.0).floor();
    let low = (whole as usize).min(last);
    (at(low + 1) - at(low)) * (index.max(0.0) - whole) + at(low)
}

/// How the noise levels of a run are spread, where not by its timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    /// Even in σ^(1/7) (Karras et al. 2022, equation 5).
    Karras,
    /// Even in ln σ.
    Exponential,
    /// At quantiles of the Beta(0.6, 0.6) distribution: dense at both ends (Lee et al. 2024,
    /// "Beta Sampling is All You Need").
    Beta,
    /// Even in λ = −ln σ (Lu et al. 2022): as `Exponential`, but on whole timesteps.
    Lu,
}

impl Curve {
    /// Reads the keys that choose a curve; none where levels follow the timesteps.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Option<Self>, Error> {
        const KEYS: [(&str, Curve); 3] = [
            ("use_karras_sigmas", Curve::Karras),
            ("use_exponential_sigmas", Curve::Exponential),
            ("use_beta_sigmas", Curve::Beta),
        ];
        let mut chosen = None;
        for (key, curve) in KEYS {
            if !fields.bool(key, false)? {
                continue;
            }
            if chosen.replace(curve).is_some() {
                let reason = "only one of use_karras_sigmas, use_exponential_sigmas and \
                              use_beta_sigmas can be true";
                return Err(fields.rejected(key, true, reason));
            }
        }
        let lu = fields.has("use_lu_lambdas") && fields.bool("use_lu_lambdas", false)?;
        Ok(if lu && chosen != Some(Self::Karras) { Some(Self::Lu) } else { chosen })
    }

    /// `steps` noise levels from `max` down to `min`.
    pub(super) fn levels(self, min: f64, max: f64, steps: usize) -> Vec<f64> {
        let ramp = linspace(0.0, 1.0, steps);
        match self {
            Self::Karras => ramp.iter().map(|ramp| karras(min, max, 7.0, *ramp)).collect(),
            Self::Exponential | Self::Lu => {
                linspace(max.ln(), min.ln(), steps).iter().map(|log| log.exp()).collect()
            }
            Self::Beta => {
                let level = |ramp: &f64| min + beta_quantile(1.0 - ramp) * (max - min);
                ramp.iter().map(level).collect()
            }
        }
    }

    /// The range of a curve: what the folder sets, or else the range of the levels it replaces.
    pub(super) fn range(fields: &Fields<'_>, min: f64, max: f64) -> Result<(f64, f64), Error> {
        let end = |key, default: f64| match fields.passing_number(key)? {
            None => Ok(default),
            Some(sigma) if sigma > 0.0 && sigma.is_finite() => Ok(sigma),
            Some(sigma) => Err(Error::invalid(key, sigma, "a number above 0, or null")),
        };
        Ok((end("sigma_min", min)?, end("sigma_max", max)?))
    }
}

/// The level at `ramp` (0 to 1) of a curve that is even in σ^(1/`rho`), from `max` to `min`.
pub(super) fn karras(min: f64, max: f64, rho: f64, ramp: f64) -> f64 {
    let (min_root, max_root) = (min.powf(1.0 / rho), max.powf(1.0 / rho));
    (max_root + ramp * (min_root - max_root)).powf(rho)
}

/// The quantile of Beta(0.6, 0.6) at `probability`.
fn beta_quantile(probability: f64) -> f64 {
    const SHAPE: f64 = 0.6;
    match probability {
        p if p <= 0.0 => 0.0,
        p if p >= 1.0 => 1.0,
        p => p.inv_inc_beta(SHAPE, SHAPE, SHAPE.ln_beta(SHAPE)),
    }
}

/// Natural logarithms of a table of sigmas, for [`sigma_to_timestep`].
pub(super) fn logarithms(sigmas: &[f32]) -> Vec<f32> {
    sigmas.iter().map(|sigma| f64::from(*sigma).ln() as f32).collect()
}

/// The fractional timestep whose noise level is `sigma`, linear in log σ between timesteps.
pub(super) fn sigma_to_timestep(sigma: f64, log_sigmas: &[f32]) -> f64 {
    let log_sigma = sigma.max(1e-10).ln();
    // no binary search: with zero terminal SNR the last level is below the one before
    let below = log_sigmas.iter().rposition(|entry| log_sigma - f64::from(*entry) >= 0.0);
    let low = below.unwrap_or(0).min(log_sigmas.len().saturating_sub(2));
    let high = (low + 1).min(log_sigmas.len() - 1);
    let from_low = f64::from(log_sigmas[low]) - log_sigma;
    let weight = (from_low / f64::from(log_sigmas[low] - log_sigmas[high])).clamp(0.0, 1.0);
    (1.0 - weight) * low as f64 + weight * high as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacings_over_a_thousand_timesteps() {
        let four = |spacing: Spacing| spacing.timesteps(1000, 4, 1);
        assert_eq!(four(Spacing::Leading), [751.0, 501.0, 251.0, 1.0]);
        assert_eq!(four(Spacing::Trailing), [999.0, 749.0, 499.0, 249.0]);
        assert_eq!(four(Spacing::Linspace), [999.0, 666.0, 333.0, 0.0]);
        assert_eq!(Spacing::Linspace.timesteps(1000, 1, 0), [0.0]);
    }

    const BETA_QUANTILES: [(f64, f64); 8] = [
        (0.0, 0.0),
        (1e-6, 1.855_882_462_405_304_3e-10),
        (0.001, 1.855_873_851_745_199e-5),
        (0.05, 0.012_554_456_873_611_399),
        (0.25, 0.175_680_378_652_694_98),
        (0.6, 0.637_299_009_246_785_6),
        (0.999, 0.999_981_441_261_482_6),
        (1.0, 1.0),
    ];

    #[test]
    fn trailing_never_passes_timestep_0() {
        for steps in 1..=1000 {
            let timesteps = Spacing::Trailing.timesteps(1000, steps, 0);
            assert_eq!((timesteps.len(), timesteps[0]), (steps, 999.0), "{steps} steps");
        }
    }

    #[test]
    fn interpolation_clamps_and_meets_the_table() {
        let table = [1.0, 3.0, 7.0];
        let at = |index| interpolate(&table, index);
        assert_eq!([at(-1.0), at(0.0), at(0.5), at(2.0), at(9.0)], [1.0, 1.0, 2.0, 7.0, 7.0]);
    }

    #[test]
    fn curves_fall_from_max_to_min() {
        for curve in [Curve::Karras, Curve::Exponential, Curve::Lu, Curve::Beta] {
            let sigmas = curve.levels(0.03, 14.6, 10);
            assert!((sigmas[0] - 14.6).abs() < 1e-12 && (sigmas[9] - 0.03).abs() < 1e-12);
            assert!(sigmas.windows(2).all(|pair| pair[0] > pair[1]), "{curve:?}");
        }
    }

    /// scipy.stats.beta.ppf(p, 0.6, 0.6).
    #[test]
    fn beta_quantiles_are_scipys() {
        for (probability, quantile) in BETA_QUANTILES {
            let ours = beta_quantile(probability);
            assert!((ours - quantile).abs() < 1e-10, "{probability}: {ours} for {quantile}");
        }
    }

    #[test]
    fn a_sigma_of_the_table_is_its_timestep() {
        let logs = logarithms(&[0.1, 0.2, 0.4, 0.8]);
        for (timestep, sigma) in [0.1_f32, 0.2, 0.4, 0.8].into_iter().enumerate() {
            let found = sigma_to_timestep(f64::from(sigma), &logs);
            assert!((found - timestep as f64).abs() < 1e-6, "{sigma}: {found}");
        }
        assert_eq!(sigma_to_timestep(0.0, &logs), 0.0);
        assert_eq!(sigma_to_timestep(9.0, &logs), 3.0);
    }
}
