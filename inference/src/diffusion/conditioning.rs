//! What a request's prompts become: the denoiser's inputs that stay the same from step to step.

use std::borrow::Cow;
use std::time::Duration;

use super::settings::Settings;
use crate::model::Error;
use crate::session::{Interrupt, Session};

/// Makes the denoiser's constant inputs of a request.
pub(super) trait Conditioner: Send {
    /// Encodes the prompts and whatever else the family's denoiser is told.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::Interrupted`].
    fn condition(
        &mut self,
        settings: &Settings,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Conditioning, Error>;

    /// Time spent in its sessions so far.
    fn busy(&self) -> Duration;

    /// Its graphs.
    fn graphs(&mut self) -> Vec<&mut Session>;
}

/// The denoiser's inputs that stay the same from step to step.
#[derive(Debug)]
pub(super) struct Conditioning {
    /// Copies of the sample in one run: two where there is guidance, the negative one's first.
    pub(super) copies: usize,
    pub(super) inputs: Vec<Constant>,
    /// How two copies' predictions become one.
    pub(super) guidance_scale: f32,
    pub(super) guidance_rescale: f32,
}

/// One of them. Values are cast to what the graph asks for.
#[derive(Debug)]
pub(super) struct Constant {
    pub(super) name: Cow<'static, str>,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Conditioning {
    pub(super) fn new(copies: usize, guidance_scale: f32, guidance_rescale: f32) -> Self {
        Self { copies, inputs: Vec::new(), guidance_scale, guidance_rescale }
    }

    /// The inputs' names and shapes, as one text.
    pub(super) fn shapes(&self) -> String {
        let shape = |input: &Constant| format!("{} {:?}", input.name, input.shape);
        self.inputs.iter().map(shape).collect::<Vec<_>>().join(", ")
    }

    /// Adds an input of `shape` with, before it, an axis of copies.
    pub(super) fn push(&mut self, name: &'static str, shape: &[usize], values: Vec<f32>) {
        let shape = [&[self.copies], shape].concat();
        self.inputs.push(Constant { name: name.into(), shape, values });
    }

    /// Adds an input that all copies share.
    pub(super) fn push_shared(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        shape: &[usize],
        values: Vec<f32>,
    ) {
        self.inputs.push(Constant { name: name.into(), shape: shape.to_vec(), values });
    }
}
