//! The numerics: models, schedulers, noise, tokenizers, model folders and ONNX sessions.
//!
//! Nothing here knows the network. `model` is the seam that callers use: what a model is and how its
//! work is done. `blueprint` reads and judges a folder without ONNX Runtime, and opens it. `diffusion`
//! makes pictures, `graph` is one graph by itself. ONNX Runtime lives in `session` alone; `schedulers`,
//! `noise` and `tokenizers` are pure.

pub mod blueprint;
mod brief;
mod chain;
pub mod diffusion;
mod enclosure;
mod files;
mod graph;
pub mod model;
pub mod noise;
pub mod progress;
pub mod schedulers;
pub mod session;
pub mod tokenizers;

use std::path::Path;

use blueprint::{Blueprint, Family};
pub use blueprint::{LoadOptions, Report};
pub use enclosure::Enclosure;
pub use model::Error;
use model::Model;
use progress::Progress;
use session::Runtime;

/// Every family of models, in the order to show them.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    let pictures = diffusion::families::ALL.iter().map(|family| &family.family);
    pictures.chain([&graph::FAMILY]).collect()
}

/// Reads and judges the folder at `path` without ONNX Runtime; no weights are read.
///
/// # Errors
/// [`Error::Folder`] for what is no model folder of a known family.
pub fn read(path: &Path, options: &LoadOptions) -> Result<Blueprint, Error> {
    Blueprint::read(path, &families(), options)
}

/// Says what the folder at `path` is and what would be wrong with it if it were loaded with those
/// options. Nothing is loaded; every file is read once, for its digest, and counted in `progress`.
#[must_use]
pub fn inspect(path: &Path, options: &LoadOptions, progress: &Progress) -> Report {
    Report::of(path, &families(), options, progress)
}

/// Loads the model in the folder at `path`: it is read and judged first, then its files are digested
/// and its graphs opened. What is read is counted by the `runtime`'s progress.
///
/// # Errors
/// [`Error::Folder`] for a folder that isn't an export of a known family or isn't what its manifest
/// says, [`Error::Unfit`] for one with components that are missing or wrong, [`Error::Session`] for a
/// graph or a device that ONNX Runtime can't use.
pub fn load(
    runtime: &Runtime,
    path: &Path,
    options: &LoadOptions,
) -> Result<Box<dyn Model>, Error> {
    read(path, options)?.open(runtime)
}
