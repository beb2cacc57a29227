//! Pipelines: from a request to a picture, step by step.
//!
//! A pipeline puts a folder's sessions, a scheduler and a noise stream together. Its caller
//! drives it one step at a time, so that progress, previews, cancelling and deadlines lie in the
//! caller's hands. Nothing here knows threads, queues or the network.
//!
//! One loop serves all families (`diffusion`): a family is a folder here that loads its graphs and
//! says what its prompts become (`diffusion::Conditioner`). What several families have is in
//! `parts`. A request is checked against the model's [`Description`] in `check`, its schedule is
//! made in `schedule`. A task is what a picture starts from and what stays beside it from step to
//! step: a file in `tasks`, with its fields in [`Generation`] and their checks in `check`.

mod check;
mod control;
mod defaults;
mod description;
mod diffusion;
mod error;
mod facts;
mod flux;
mod generation;
mod latents;
mod onnx;
mod parts;
mod schedule;
mod stable_diffusion;
mod stable_diffusion_3;
mod stable_diffusion_xl;
mod state;
mod survey;
mod tasks;
mod unconditional;
mod warm;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hearth_media::{Image, Media};

pub use self::defaults::Defaults;
pub use self::description::{Description, MAX_PROMPT_CHARS, SequenceLength};
pub use self::error::Error;
pub use self::generation::{Generation, Invalid, Lora, OutputType, Settings};
pub use self::latents::{Latents, UnreadableLatents};
pub use self::state::State;
pub use self::survey::{Report, inspect};
pub use self::warm::warm_up;
use crate::folder::{Digested, Family, Folder, VaeTiling};
use crate::session::{Device, Interrupt, Runtime, Session};

/// A loaded model that makes pictures, one step at a time.
pub trait Pipeline: Send {
    /// What it is and what it can be asked for.
    fn description(&self) -> &Arc<Description>;

    /// Checks the request, encodes its prompts and draws the initial noise.
    ///
    /// # Errors
    /// [`Error::Invalid`] before any compute, [`Error::Session`], [`Error::Interrupted`].
    fn start(
        &mut self,
        request: &Generation,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<State, Error>;

    /// Takes one step of each of the given pictures.
    ///
    /// Several pictures may be given, so that graphs which allow it can share one run. After an
    /// error each picture has either taken the whole step or none of it.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::Interrupted`].
    fn step(&mut self, states: &mut [&mut State], interrupt: &Interrupt) -> Result<(), Error>;

    /// A small picture of how things stand, much cheaper than a step; `None` if there is no way.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::Interrupted`].
    fn preview(&mut self, state: &State, interrupt: &Interrupt) -> Result<Option<Image>, Error>;

    /// Decodes the latents.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::NotANumber`], [`Error::Interrupted`].
    fn finish(&mut self, state: State, interrupt: &Interrupt) -> Result<Output, Error>;

    /// Its graphs, for callers that run one themselves.
    fn graphs(&mut self) -> Vec<&mut Session>;
}

/// A finished item.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The item itself.
    pub media: Media,
    /// Its seed.
    pub seed: u64,
    /// The request, checked and with its defaults.
    pub settings: Settings,
    /// What the caller should know, such as a cut prompt.
    pub warnings: Vec<String>,
    /// Time spent inside ONNX sessions for it.
    pub session_time: Duration,
}

/// How to load a pipeline.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The device that all its sessions run on.
    pub device: Device,
    /// How its VAE cuts large pictures; what isn't given is as the folder says.
    pub vae_tiling: VaeTiling,
    /// Digests of files that were read before.
    pub digested: Digested,
}

/// Loads the pipeline in the folder at `path`. The folder is looked at first, then its files are
/// checked; see [`Folder::contents`].
///
/// # Errors
/// [`Error::Folder`] for a folder that isn't an export of a known family, [`Error::Unfit`] for one
/// with parts that are missing or wrong, [`Error::Session`] for a graph or a device that ONNX
/// Runtime can't use.
pub fn load(
    runtime: &Runtime,
    path: &Path,
    options: &LoadOptions,
) -> Result<Box<dyn Pipeline>, Error> {
    let folder = Folder::open(path)?.watched(runtime.progress().clone());
    let folder = folder.remembered(options.digested.clone());
    survey::check(&folder, options)?;
    open(runtime, &folder, options)
}

/// Opens the folder's pipeline.
fn open(
    runtime: &Runtime,
    folder: &Folder,
    options: &LoadOptions,
) -> Result<Box<dyn Pipeline>, Error> {
    let pipeline = match folder.family() {
        Family::StableDiffusion | Family::LatentConsistency => {
            stable_diffusion::load(runtime, folder, options)?
        }
        Family::StableDiffusionXl => stable_diffusion_xl::load(runtime, folder, options)?,
        Family::StableDiffusion3 => stable_diffusion_3::load(runtime, folder, options)?,
        Family::Flux => flux::load(runtime, folder, options)?,
        Family::Unconditional => unconditional::load(runtime, folder, options)?,
        Family::Onnx => return Ok(Box::new(onnx::Onnx::load(runtime, folder, options)?)),
    };
    Ok(Box::new(pipeline))
}
