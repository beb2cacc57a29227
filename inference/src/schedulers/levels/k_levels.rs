//! The timesteps and noise levels that the samplers of k-diffusion's kind visit: Euler, LMS, Heun,
//! KDPM2 and DPM++ SDE.

use super::curve::{CURVED, Curve};
use super::lookup::{interpolate, logarithms, sigma_to_timestep};
use super::spacing::Spacing;
use super::training::Training;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::run::Run;
use crate::schedulers::schedule::{InputScale, Schedule};

/// One entry for each step of the run, noisiest first; the level that the run ends at comes after.
pub(crate) struct KLevels {
    pub(crate) timesteps: Vec<f64>,
    pub(crate) sigmas: Vec<f64>,
    pub(crate) spacing: Spacing,
    /// ln σ per training timestep.
    pub(crate) logs: Vec<f32>,
}

/// In what the classes differ.
#[derive(Default)]
pub(crate) struct Habits {
    /// Karras levels are put on whole timesteps.
    pub(crate) whole_karras: bool,
    /// Karras levels keep the timesteps' range, whatever `sigma_min` and `sigma_max` say.
    pub(crate) own_range_karras: bool,
    /// Timesteps are spaced in double precision.
    pub(crate) double: bool,
}

impl KLevels {
    /// Reads spacing and curve, and lays out the run's steps.
    pub(crate) fn read(
        fields: &Fields<'_>,
        training: &Training,
        run: &Run,
        habits: &Habits,
    ) -> Result<Self, Error> {
        let spacing = Spacing::read(fields, "linspace")?;
        let curve = Curve::read(fields)?;
        let mut timesteps = timesteps(fields, training, run, spacing, curve)?;
        if !habits.double {
            timesteps.iter_mut().for_each(|timestep| *timestep = f64::from(*timestep as f32));
        }
        let table = training.sigmas();
        let levels = timesteps.iter().map(|timestep| interpolate(&table, *timestep)).collect();
        let logs = logarithms(&table);
        let mut schedule = Self { timesteps, sigmas: levels, spacing, logs };
        if let Some(curve) = curve {
            schedule.follow(fields, curve, habits)?;
        }
        Ok(schedule)
    }

    /// Replaces the levels by a curve's, and the timesteps by those of the curve's levels.
    pub(crate) fn follow(
        &mut self,
        fields: &Fields<'_>,
        curve: Curve,
        habits: &Habits,
    ) -> Result<(), Error> {
        let steps = self.timesteps.len();
        let (mut min, mut max) = (self.sigmas[self.sigmas.len() - 1], self.sigmas[0]);
        if !(curve == Curve::Karras && habits.own_range_karras) {
            (min, max) = Curve::range(fields, min, max)?;
        }
        self.sigmas = curve.levels(min, max, steps);
        let whole = curve == Curve::Karras && habits.whole_karras;
        let timestep = |sigma: &f64| {
            let timestep = sigma_to_timestep(*sigma, &self.logs);
            if whole { timestep.round_ties_even() } else { timestep }
        };
        self.timesteps = self.sigmas.iter().map(timestep).collect();
        Ok(())
    }

    /// The timesteps in single precision.
    pub(crate) fn timesteps_f32(&self) -> Vec<f32> {
        self.timesteps.iter().map(|timestep| *timestep as f32).collect()
    }

    /// The levels in single precision, and last `end`.
    pub(crate) fn levels_to(&self, end: f32) -> Vec<f32> {
        self.sigmas.iter().map(|sigma| *sigma as f32).chain([end]).collect()
    }
}

fn timesteps(
    fields: &Fields<'_>,
    training: &Training,
    run: &Run,
    spacing: Spacing,
    curve: Option<Curve>,
) -> Result<Vec<f64>, Error> {
    if let Some(given) = &run.timesteps {
        return match curve {
            None => Ok(given.clone()),
            Some(_) => Err(fields.rejected("timesteps", "a list", CURVED)),
        };
    }
    training.check_steps(run.steps)?;
    let offset = fields.integer("steps_offset", 0, 0..=training.len())?;
    Ok(spacing.timesteps(training.len(), run.steps, offset))
}

/// Each entry but the first and, where `and_last`, the last twice: one for each call of a rule
/// that makes two calls a step.
pub(crate) fn twice<T: Copy>(values: &[T], and_last: bool) -> Vec<T> {
    let Some((first, rest)) = values.split_first() else { return Vec::new() };
    let mut doubled = vec![*first];
    doubled.extend(rest.iter().flat_map(|value| [*value, *value]));
    if !and_last && doubled.len() > 1 {
        doubled.pop();
    }
    doubled
}

/// The schedule over x = x₀ + σ·ε whose input is brought to unit variance.
pub(crate) fn k_schedule(timesteps: Vec<f32>, sigmas: Vec<f32>, spacing: Spacing) -> Schedule {
    Schedule {
        init_noise_sigma: init_noise_sigma(&sigmas, spacing),
        input: unit_variance(sigmas.iter().copied()),
        ..Schedule::exploding(timesteps, sigmas)
    }
}

/// Divides by √(σ² + 1), so that the model sees the variance it was trained on.
pub(crate) fn unit_variance(sigmas: impl Iterator<Item = f32>) -> InputScale {
    InputScale::DividedBy(sigmas.map(|sigma| (sigma * sigma + 1.0).sqrt()).collect())
}

/// The deviation of the initial noise; `Leading` starts below the noisiest level and adds the
/// unit variance of the data.
fn init_noise_sigma(sigmas: &[f32], spacing: Spacing) -> f32 {
    let max = sigmas.iter().copied().fold(0.0, f32::max);
    match spacing {
        Spacing::Linspace | Spacing::Trailing => max,
        Spacing::Leading => (max * max + 1.0).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_calls_a_step_but_for_the_first_or_the_last() {
        assert_eq!(twice(&[3, 2, 1], true), [3, 2, 2, 1, 1]);
        assert_eq!(twice(&[3, 2, 1], false), [3, 2, 2, 1]);
        assert_eq!(twice(&[3], false), [3]);
        assert_eq!(twice::<i32>(&[], true), [0; 0]);
    }
}
