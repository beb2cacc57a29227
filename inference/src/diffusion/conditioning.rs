//! What a request's prompts become: the denoiser's inputs that stay the same from step to step.

use std::borrow::Cow;
use std::ops::Range;
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
    shape: Vec<usize>,
    values: Vec<f32>,
    /// Its first axis is that of copies; else all of them share it.
    per_copy: bool,
}

impl Constant {
    /// Whether each copy has its own.
    pub(super) fn is_per_copy(&self) -> bool {
        self.per_copy
    }

    /// Its shape for so many of the copies.
    pub(super) fn shape_for(&self, copies: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let (true, Some(first)) = (self.per_copy, shape.first_mut()) {
            *first = copies;
        }
        shape
    }

    /// Its values for those of the copies.
    pub(super) fn values_for(&self, copies: &Range<usize>) -> &[f32] {
        if !self.per_copy {
            return &self.values;
        }
        let one = self.values.len() / self.shape.first().copied().unwrap_or(1).max(1);
        &self.values[copies.start * one..copies.end * one]
    }
}

impl Conditioning {
    pub(super) fn new(copies: usize, guidance_scale: f32, guidance_rescale: f32) -> Self {
        Self { copies, inputs: Vec::new(), guidance_scale, guidance_rescale }
    }

    /// The inputs' names and their shapes without the axis of copies, as one text.
    pub(super) fn shapes(&self) -> String {
        let own = |input: &Constant| input.shape[usize::from(input.per_copy)..].to_vec();
        let shape = |input: &Constant| format!("{} {:?}", input.name, own(input));
        self.inputs.iter().map(shape).collect::<Vec<_>>().join(", ")
    }

    /// Adds an input of `shape` with, before it, an axis of copies.
    pub(super) fn push(&mut self, name: &'static str, shape: &[usize], values: Vec<f32>) {
        let shape = [&[self.copies], shape].concat();
        self.inputs.push(Constant { name: name.into(), shape, values, per_copy: true });
    }

    /// Adds an input that all copies share.
    pub(super) fn push_shared(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        shape: &[usize],
        values: Vec<f32>,
    ) {
        let (name, shape) = (name.into(), shape.to_vec());
        self.inputs.push(Constant { name, shape, values, per_copy: false });
    }
}
