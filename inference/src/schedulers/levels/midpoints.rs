//! The noise levels of DPM2 (Karras et al. 2022, algorithm 2 as Katherine Crowson wrote it): those
//! of the steps, and one in the middle of each.

use super::k_levels::{Habits, KLevels, k_schedule, twice, unit_variance};
use super::lookup::sigma_to_timestep;
use super::training::{Defaults, Training};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys::{self, Keys};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

/// The keys of both classes of this kind.
pub(crate) const MIDPOINT_KEYS: Keys =
    &[keys::TRAINING, keys::CURVES, &["prediction_type"], keys::SPACING];

/// Noise levels with a middle one in each step.
#[derive(Debug)]
pub(crate) struct Midpoints {
    /// The levels of the steps, and 0.
    pub(crate) steps: Vec<f32>,
    /// The level in each step's middle.
    pub(crate) middles: Vec<f32>,
}

impl Midpoints {
    /// Lays out the run; `middle` of a step's level and the next one's lies between them.
    pub(crate) fn read(
        fields: &Fields<'_>,
        run: &Run,
        middle: fn(f32, f32) -> f32,
    ) -> Result<(Schedule, Self), Error> {
        let training = Training::read(fields, &Defaults::NARROW)?;
        let habits = Habits { whole_karras: true, ..Habits::default() };
        let levels = KLevels::read(fields, &training, run, &habits)?;
        let steps = levels.levels_to(0.0);
        let middles: Vec<f32> = steps.windows(2).map(|pair| middle(pair[0], pair[1])).collect();
        let last = levels.timesteps.len() - 1;
        if let Some(step) = middles[..last].iter().position(|middle| *middle <= 0.0) {
            return Err(fields.not_finite(step));
        }
        let between = |sigma: &f32| sigma_to_timestep(f64::from(*sigma), &levels.logs);
        let whole = levels.timesteps.iter().copied();
        let mixed = whole.zip(&middles).flat_map(|(whole, middle)| [whole, between(middle)]);
        let timesteps: Vec<_> = mixed.take(2 * last + 1).map(|time| time as f32).collect();
        let midpoints = Self { steps, middles };
        let schedule = Schedule {
            order: 2,
            input: unit_variance((0..timesteps.len()).map(|call| midpoints.at(call))),
            ..k_schedule(timesteps, twice(&midpoints.steps, false), levels.spacing)
        };
        Ok((schedule, midpoints))
    }

    /// The level that the model is asked at in call `call`.
    pub(crate) fn at(&self, call: usize) -> f32 {
        if call.is_multiple_of(2) { self.steps[call / 2] } else { self.middles[call / 2] }
    }
}
