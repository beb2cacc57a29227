//! How a run's timesteps and noise levels are laid out, from the keys that classes share.

mod curve;
mod distillation;
mod edm;
mod flow;
mod k_levels;
mod level;
mod linspace;
mod lookup;
mod midpoints;
mod solver_levels;
mod spacing;
mod training;

pub(crate) use curve::{Curve, karras};
pub(crate) use distillation::{DISTILLED_KEYS, DISTILLED_TAKES, Distillation};
pub(crate) use edm::EdmLevels;
pub(crate) use flow::{Shift, dynamic_shift, even_levels, stretch_to};
pub(crate) use k_levels::{Habits, KLevels, k_schedule, twice, unit_variance};
pub(crate) use level::{Form, Level};
pub(crate) use linspace::{linspace, linspace_f32};
pub(crate) use lookup::{interpolate, logarithms, sigma_to_timestep};
pub(crate) use midpoints::{MIDPOINT_KEYS, Midpoints};
pub(crate) use solver_levels::{Family, SolverLevels};
pub(crate) use spacing::{Spacing, given_timesteps, multiples, read_final_sigma, whole_timesteps};
pub(crate) use training::{Defaults, Training};
