//! Between a schedule's timesteps and its noise levels: values at fractional timesteps, and the
//! timestep of a level.

/// The table's value at a fractional index, clamped to its ends, as `numpy.interp` has it.
pub(crate) fn interpolate(table: &[f32], index: f64) -> f64 {
    let last = table.len() - 1;
    let at = |index: usize| f64::from(table[index.min(last)]);
    let whole = index.max(0.0).floor();
    let low = (whole as usize).min(last);
    (at(low + 1) - at(low)) * (index.max(0.0) - whole) + at(low)
}

/// Natural logarithms of a table of sigmas, for [`sigma_to_timestep`].
pub(crate) fn logarithms(sigmas: &[f32]) -> Vec<f32> {
    sigmas.iter().map(|sigma| f64::from(*sigma).ln() as f32).collect()
}

/// The fractional timestep whose noise level is `sigma`, linear in log σ between timesteps.
pub(crate) fn sigma_to_timestep(sigma: f64, log_sigmas: &[f32]) -> f64 {
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
    fn interpolation_clamps_and_meets_the_table() {
        let table = [1.0, 3.0, 7.0];
        let at = |index| interpolate(&table, index);
        assert_eq!([at(-1.0), at(0.0), at(0.5), at(2.0), at(9.0)], [1.0, 1.0, 2.0, 7.0, 7.0]);
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
