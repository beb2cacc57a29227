//! The items that this worker was asked for: every output of every request, from its arrival until
//! its kept result is forgotten.
//!
//! An item outlives its callers: one that computes when its connection is lost is finished and
//! kept, one that waits gives its caller some time to come back. All of it is pure: time comes in
//! as an argument, and what callers should learn comes out as [`Change`]s. What an item is computed
//! from, and when, is the plan's business (`compute/plan`).

mod bounds;
mod item;
mod listing;
mod ownership;
mod pace;
mod refusals;
mod room;
mod standby;
mod stops;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use bounds::Bounds;
pub(crate) use item::{ItemId, ItemKey, ItemSpec, Times};
pub(crate) use stops::StopOutcome;
pub(crate) use table::{Change, Items};
pub(crate) use view::{ItemOutput, ItemView, Outcome, PreviewImage};
