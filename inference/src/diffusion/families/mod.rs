//! The families of models that make pictures: a folder for each, and their table.
//!
//! A family reads its configs, judges how its components fit each other, and says what its prompts
//! become (`conditioning::Conditioner`).

pub(super) mod flux;
pub(super) mod stable_diffusion;
pub(super) mod stable_diffusion_3;
pub(super) mod stable_diffusion_xl;
pub(super) mod unconditional;

use super::family::PictureFamily;

/// Every family, in the order to show them.
pub static ALL: &[&PictureFamily] = &[
    &stable_diffusion::FAMILY,
    &stable_diffusion::LATENT_CONSISTENCY,
    &stable_diffusion_xl::FAMILY,
    &stable_diffusion_3::FAMILY,
    &flux::FAMILY,
    &unconditional::FAMILY,
];

#[cfg(test)]
mod tests;
