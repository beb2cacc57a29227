//! One graph by itself: any ONNX model, to be run with tensors by those who know it.
//!
//! It is loaded, checked and listed as other models are, and generates nothing.

use std::sync::Arc;

use hearth_media::Image;

use super::facts::Facts;
use super::schedule::Schedule;
use super::{Description, Error, Generation, Invalid, LoadOptions, Output, Pipeline, State, parts};
use crate::folder::Folder;
use crate::schedulers::SchedulerConfig;
use crate::session::{Interrupt, Runtime, Session};

/// The graph's name.
const PART: &str = "model";
/// A description has a scheduler; nobody asks this one.
const NO_SCHEDULER: &str = r#"{"_class_name": "EulerDiscreteScheduler"}"#;

/// A loaded graph.
pub(super) struct Onnx {
    description: Arc<Description>,
    session: Session,
}

impl Onnx {
    /// Loads the folder's `model.onnx`.
    pub(super) fn load(
        runtime: &Runtime,
        folder: &Folder,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        parts::without_vae(folder, options)?;
        let files = parts::check_files(folder, &[""], &[])?;
        let graph = folder.graph("")?;
        let session = Session::load(runtime, PART, folder.root(), &graph, options.device)?;
        let nothing = SchedulerConfig::parse(NO_SCHEDULER).map_err(Error::Scheduler)?;
        let facts = Facts {
            folder,
            device: options.device,
            files,
            schedule: Schedule::of(nothing),
            tasks: Vec::new(),
            fields: Vec::new(),
            size: [0, 0],
            size_factor: 0,
            fixed_size: false,
            smallest: 0,
            max_prompt_tokens: 0,
            sequence_length: None,
            max_prompt_chunks: 1,
            max_clip_skip: 0,
            classes: None,
            lora: Vec::new(),
            controlnets: Vec::new(),
            cell: 1,
            latent_channels: 0,
        };
        let description =
            Description { scheduler: String::new(), max_size: 0, ..facts.describe()? };
        Ok(Self { description: Arc::new(description), session })
    }

    /// What is said to a request that got past the description's check.
    fn refuse<T>(&self) -> Result<T, Error> {
        let message = "it is a bare graph, which generates nothing; use infer";
        Err(Invalid::new("model", &self.description.family, message).into())
    }
}

impl Pipeline for Onnx {
    fn description(&self) -> &Arc<Description> {
        &self.description
    }

    fn start(&mut self, _: &Generation, _: u64, _: &Interrupt) -> Result<State, Error> {
        self.refuse()
    }

    fn step(&mut self, _: &mut [&mut State], _: &Interrupt) -> Result<(), Error> {
        self.refuse()
    }

    fn preview(&mut self, _: &State, _: &Interrupt) -> Result<Option<Image>, Error> {
        Ok(None)
    }

    fn finish(&mut self, _: State, _: &Interrupt) -> Result<Output, Error> {
        self.refuse()
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        vec![&mut self.session]
    }
}
