//! The curves that a run's noise levels can follow instead of its timesteps.
//!
//! In double precision and in numpy's order of operations, as diffusers computes them.

use special::Beta;

use super::linspace::linspace;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;

/// Why a given list can't be followed.
pub(crate) const CURVED: &str = "a curve of noise levels chooses the timesteps itself; leave the \
                                 list out, or set the curve's use_…_sigmas to false";

/// How the noise levels of a run are spread, where not by its timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
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
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Option<Self>, Error> {
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
    pub(crate) fn levels(self, min: f64, max: f64, steps: usize) -> Vec<f64> {
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
    pub(crate) fn range(fields: &Fields<'_>, min: f64, max: f64) -> Result<(f64, f64), Error> {
        let end = |key, default: f64| match fields.passing_number(key)? {
            None => Ok(default),
            Some(sigma) if sigma > 0.0 && sigma.is_finite() => Ok(sigma),
            Some(sigma) => Err(Error::invalid(key, sigma, "a number above 0, or null")),
        };
        Ok((end("sigma_min", min)?, end("sigma_max", max)?))
    }
}

/// The level at `ramp` (0 to 1) of a curve that is even in σ^(1/`rho`), from `max` to `min`.
pub(crate) fn karras(min: f64, max: f64, rho: f64, ramp: f64) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
