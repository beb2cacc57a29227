//! Which timesteps a run visits: given ones, or spaced over the training schedule.
//!
//! In double precision and in numpy's order of operations, as diffusers computes them, so that
//! rounding to whole timesteps falls the same way.

use super::linspace::linspace;
use super::training::Training;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::run::Run;

/// How timesteps are spread over the training schedule (Lin et al. 2023, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// Multiples of the whole step ratio, from 0 up.
    Leading,
    /// Steps down from the schedule's end.
    Trailing,
    /// Even from the first to the last timestep.
    Linspace,
}

impl Spacing {
    pub(crate) fn read(fields: &Fields<'_>, default: &str) -> Result<Self, Error> {
        let choices = [
            ("leading", Self::Leading),
            ("trailing", Self::Trailing),
            ("linspace", Self::Linspace),
        ];
        fields.choice("timestep_spacing", default, &choices)
    }

    /// `steps` timesteps over `train` training timesteps, noisiest first. Whole numbers, but for
    /// `Linspace`, which callers round where their rule wants it.
    pub(crate) fn timesteps(self, train: usize, steps: usize, offset: usize) -> Vec<f64> {
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
pub(crate) fn whole_timesteps(
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
pub(crate) fn given_timesteps(given: &[f64], train: usize) -> Result<Vec<usize>, Error> {
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
pub(crate) fn multiples(ratio: usize, count: usize, offset: usize) -> Vec<f64> {
    (0..count).rev().map(|index| (index * ratio + offset) as f64).collect()
}

/// Whole timesteps from `start - 1` down in steps of `ratio`, while not below 0.
///
/// `numpy.arange` gives one value more for some ratios (1000/61 is one), by rounding; that value
/// is timestep −1, which no model was trained for, and is left out here.
pub(crate) fn trailing(start: usize, ratio: f64) -> Vec<f64> {
    let start = start as f64;
    // numpy multiplies the difference of the first two values, not the step it was given
    let difference = (start - ratio) - start;
    let count = (start / ratio).ceil() as usize;
    (0..count)
        .map(|index| (start + index as f64 * difference).round_ties_even() - 1.0)
        .filter(|timestep| *timestep >= 0.0)
        .collect()
}

/// Reads the level that a run ends at: 0, or the least one of its schedule.
pub(crate) fn read_final_sigma<T: Copy + Default>(
    fields: &Fields<'_>,
    least: T,
) -> Result<T, Error> {
    fields.choice("final_sigmas_type", "zero", &[("zero", T::default()), ("sigma_min", least)])
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

    #[test]
    fn trailing_never_passes_timestep_0() {
        for steps in 1..=1000 {
            let timesteps = Spacing::Trailing.timesteps(1000, steps, 0);
            assert_eq!((timesteps.len(), timesteps[0]), (steps, 999.0), "{steps} steps");
        }
    }
}
