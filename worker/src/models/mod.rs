//! The worker's models: which there are, whether each is in memory, and what is known of it.
//!
//! All of it is pure. The plan decides what is loaded and dropped and writes it down here; threads
//! do it (`compute`).

mod list;
mod listing;
mod model;
#[cfg(test)]
mod tests;

pub(crate) use list::{ModelChoice, Models};
pub(crate) use model::{Facts, Model, Reservation, Residency};
