//! Noise levels of flow matching, and how they move towards noise (Esser et al. 2024).

use super::linspace::linspace;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::run::Run;

/// How a level moves towards noise: σ → w·σ / (1 + (w − 1)·σ).
#[derive(Clone, Copy)]
pub(crate) struct Shift(pub(crate) f64);

impl Shift {
    pub(crate) fn apply(self, sigma: f64) -> f64 {
        self.0 * sigma / (1.0 + (self.0 - 1.0) * sigma)
    }
}

/// The shift for the image's size, where the config asks for one.
pub(crate) fn dynamic_shift(fields: &Fields<'_>, run: &Run) -> Result<Option<Shift>, Error> {
    let exponential = is_exponential(fields)?;
    if !fields.bool("use_dynamic_shifting", false)? {
        return Ok(None);
    }
    let Some(mu) = run.mu else {
        let reason = "the shift for the image's size, mu, is not given";
        return Err(fields.rejected("use_dynamic_shifting", true, reason));
    };
    Ok(Some(Shift(if exponential { mu.exp() } else { mu })))
}

/// Even levels from the schedule's noisiest to its quietest. Both ends are shifted already, as in
/// diffusers, which then shifts all of them again.
pub(crate) fn even_levels(train: usize, run: &Run, shift: Shift) -> Result<Vec<f64>, Error> {
    run.check_steps(train)?;
    let (length, weight) = (train as f32, shift.0 as f32);
    let end = |timestep: f32| {
        let sigma = timestep / length;
        f64::from(weight * sigma / (1.0 + (weight - 1.0) * sigma)) * train as f64
    };
    let timesteps = linspace(end(length), end(1.0), run.steps);
    Ok(timesteps.iter().map(|timestep| timestep / train as f64).collect())
}

/// Stretches levels so that the last one is `terminal` and 1 stays 1.
pub(crate) fn stretch_to(terminal: f64, sigmas: &mut [f64]) {
    let Some(last) = sigmas.last() else { return };
    let scale = (1.0 - last) / (1.0 - terminal);
    sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
}

/// Reads `time_shift_type`: whether μ is the logarithm of the shift, or the shift itself.
pub(crate) fn is_exponential(fields: &Fields<'_>) -> Result<bool, Error> {
    fields.choice("time_shift_type", "exponential", &[("exponential", true), ("linear", false)])
}
