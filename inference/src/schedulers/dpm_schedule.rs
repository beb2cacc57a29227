//! Which timesteps and noise levels the DPM-Solver family visits.
//!
//! Its spacings differ from the other classes': timesteps are whole, one step is spared at the
//! quiet end, and the noisy end can be clipped.

use super::betas::Training;
use super::error::Error;
use super::fields::Fields;
use super::sigmas::{
    Curve, Spacing, interpolate, linspace, logarithms, multiples, sigma_to_timestep, trailing,
};

/// Timesteps and sigmas of the steps, without the final level.
pub(super) fn schedule(
    fields: &Fields<'_>,
    training: &Training,
    steps: usize,
) -> Result<(Vec<f32>, Vec<f32>), Error> {
    let table = training.sigmas();
    let spaced = spaced_timesteps(fields, training, steps)?;
    let (timesteps, sigmas) = if let Some(curve) = Curve::read(fields)? {
        let (min, max) = (f64::from(table[0]), f64::from(table[table.len() - 1]));
        let (sigmas, logs) = (curve.levels(min, max, steps), logarithms(&table));
        let rounded = curve != Curve::Exponential && !training.is_cosine();
        let whole = if rounded { f64::round_ties_even } else { f64::trunc };
        let timestep = |sigma: &f64| whole(sigma_to_timestep(*sigma, &logs));
        (sigmas.iter().map(timestep).collect(), sigmas)
    } else {
        let sigmas = spaced.iter().map(|timestep| interpolate(&table, *timestep)).collect();
        (spaced, sigmas)
    };
    let single = |values: Vec<f64>| values.iter().map(|value| *value as f32).collect();
    Ok((single(timesteps), single(sigmas)))
}

/// Whole timesteps, noisiest first: the spacings as this class has them, with one step to spare
/// at the quiet end, and without the noisy end where λ is below `lambda_min_clipped`.
fn spaced_timesteps(
    fields: &Fields<'_>,
    training: &Training,
    steps: usize,
) -> Result<Vec<f64>, Error> {
    let offset = fields.integer("steps_offset", 0, 0..=training.len())?;
    let end = clipped_end(fields, training)?;
    Ok(match Spacing::read(fields, "linspace")? {
        Spacing::Linspace => {
            let mut timesteps = linspace(0.0, end as f64 - 1.0, steps + 1);
            timesteps.reverse();
            timesteps.truncate(steps);
            timesteps.iter().map(|timestep| timestep.round_ties_even()).collect()
        }
        Spacing::Leading => {
            let mut timesteps = multiples(end / (steps + 1), steps + 1, offset);
            timesteps.truncate(steps);
            timesteps
        }
        Spacing::Trailing => trailing(end, training.len() as f64 / steps as f64),
    })
}

/// The number of training timesteps whose λ is not below `lambda_min_clipped`.
fn clipped_end(fields: &Fields<'_>, training: &Training) -> Result<usize, Error> {
    let least = fields.number("lambda_min_clipped", f64::NEG_INFINITY)?;
    let lambda = |alpha: &f32| alpha.sqrt().ln() - (1.0 - alpha).sqrt().ln();
    let below = |alpha: &&f32| lambda(alpha) < least as f32;
    let end = training.len() - training.alphas_cumprod.iter().rev().take_while(below).count();
    if end > 0 {
        return Ok(end);
    }
    Err(Error::invalid("lambda_min_clipped", least, "a number that leaves timesteps, e.g. -5.1"))
}
