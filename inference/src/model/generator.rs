//! Generating items, step by step.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::GenerationRequest;
use hearth_media::Media;

use super::{Error, PreparedRequest, Run, Snapshot};
use crate::session::Interrupt;

/// The half of a model that computes. Its caller owns the runs and decides which of them go on.
pub trait Generator {
    /// Begins an item of a prepared request: encodes its prompts and draws its initial noise.
    ///
    /// # Errors
    /// [`Error::Foreign`] for what another model has prepared, [`Error::Invalid`] before any compute,
    /// [`Error::Session`], [`Error::Interrupted`].
    fn start(
        &mut self,
        prepared: &PreparedRequest,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn Run>, Error>;

    /// Goes on with an item that was put aside, as if it had been here all the time: `prepared` is of
    /// the same request, by the same model.
    ///
    /// # Errors
    /// As [`start`](Self::start); [`Error::Snapshot`] for what can't be of such a run.
    fn resume(
        &mut self,
        prepared: &PreparedRequest,
        snapshot: &Snapshot,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn Run>, Error>;

    /// Takes one step of each run, and says in each [`Turn`] how that went. A run that is
    /// interrupted or fails costs the others nothing; it has taken the whole step or none of it.
    /// Runs that are done stay as they are.
    fn step(&mut self, turns: &mut [Turn<'_>]);

    /// Something small that shows how things stand, much cheaper than a step; `None` if there is no
    /// way.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Session`], [`Error::Interrupted`].
    fn preview(&mut self, run: &dyn Run, interrupt: &Interrupt) -> Result<Option<Media>, Error>;

    /// Makes the item of a run whose steps are taken.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Session`], [`Error::NotANumber`], [`Error::Interrupted`].
    fn finish(&mut self, run: Box<dyn Run>, interrupt: &Interrupt) -> Result<Output, Error>;
}

/// One run's part in a call of [`Generator::step`].
pub struct Turn<'a> {
    /// The run.
    pub run: &'a mut dyn Run,
    /// What stops this run, and no other.
    pub interrupt: &'a Interrupt,
    /// How its step went: [`Error::Foreign`], [`Error::Session`], [`Error::Interrupted`].
    pub outcome: Result<(), Error>,
}

impl<'a> Turn<'a> {
    /// A turn that is still to be taken.
    pub fn new(run: &'a mut dyn Run, interrupt: &'a Interrupt) -> Self {
        Self { run, interrupt, outcome: Ok(()) }
    }
}

/// A finished item.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The item itself.
    pub media: Media,
    /// Its seed.
    pub seed: u64,
    /// The request with every default filled in.
    pub request: Arc<GenerationRequest>,
    /// What the caller should know, such as a cut prompt.
    pub warnings: Vec<String>,
    /// Time spent inside ONNX sessions for it.
    pub session_time: Duration,
}
