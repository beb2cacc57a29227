//! The inputs of a graph that runs at every step, in memory that its runs reuse: the sample, the
//! timestep, and what stays the same from step to step.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::diffusion::conditioning::{Conditioning, Constant};
use crate::diffusion::layout::Layout;
use crate::diffusion::run::PictureRun;
use crate::model::Error;
use crate::session::{Bound, Port, Session};

// Inputs, in the order in which they are bound; constants follow, then what the caller adds.
const SAMPLE: usize = 0;
const TIMESTEP: usize = 1;
const CONSTANTS: usize = 2;

/// How a graph takes a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct InputNames<'a> {
    pub(super) sample: &'a str,
    pub(super) timestep: &'a str,
    /// The conditioning's constants that it takes; all of them if none are named.
    pub(super) constants: Option<&'a [&'static str]>,
    /// Whether it takes the planes beside the sample.
    pub(super) beside: bool,
}

/// Memory bound for inputs of certain shapes, and what is in it.
pub(super) struct Memory {
    pub(super) bound: Bound,
    copies: usize,
    shape: [usize; 3],
    layout: Layout,
    /// Elements beside the sample of each copy.
    beside: usize,
    /// The constants now in the memory, and the first copy that they are of.
    conditioning: Option<(Arc<Conditioning>, usize)>,
    constants: Vec<(Cow<'static, str>, Vec<usize>)>,
}

impl InputNames<'_> {
    fn has(&self, input: &Constant) -> bool {
        self.constants.is_none_or(|names| names.contains(&input.name.as_ref()))
    }

    fn beside(&self, picture: &PictureRun) -> usize {
        if self.beside { picture.beside.len() } else { 0 }
    }

    fn of<'s>(&self, conditioning: &'s Conditioning) -> impl Iterator<Item = &'s Constant> {
        conditioning.inputs.iter().filter(|input| self.has(input))
    }
}

impl Memory {
    /// Binds `session`'s inputs for so many copies of `picture`, then `more` inputs and the `outputs`.
    pub(super) fn new(
        session: &Session,
        takes: InputNames<'_>,
        picture: &PictureRun,
        copies: usize,
        more: &[(&str, &[usize])],
        outputs: &[(&str, &[usize])],
    ) -> Result<Self, Error> {
        let mut sample = [&[copies], picture.layout.dims(picture.shape).as_slice()].concat();
        let [_, rows, columns] = picture.shape;
        let beside = takes.beside(picture);
        sample[1] += beside / (rows * columns);
        let times = [copies];
        let scalar = session.input(takes.timestep).map(Port::rank)? == 0;
        let timestep: &[usize] = if scalar { &[] } else { &times };
        let constants: Vec<_> = takes
            .of(&picture.conditioning)
            .map(|input| (input.name.clone(), input.shape_for(copies)))
            .collect();
        let mut inputs = vec![(takes.sample, sample.as_slice()), (takes.timestep, timestep)];
        inputs.extend(constants.iter().map(|(name, shape)| (name.as_ref(), shape.as_slice())));
        inputs.extend_from_slice(more);
        Ok(Self {
            bound: session.bind(&inputs, outputs)?,
            copies,
            shape: picture.shape,
            layout: picture.layout,
            beside,
            conditioning: None,
            constants,
        })
    }

    /// Whether it has the shapes that so many copies of `picture` need.
    pub(super) fn fits(&self, takes: InputNames<'_>, picture: &PictureRun, copies: usize) -> bool {
        let mut constants = self.constants.iter();
        self.copies == copies
            && self.shape == picture.shape
            && self.layout == picture.layout
            && self.beside == takes.beside(picture)
            && takes.of(&picture.conditioning).all(|input| {
                let same = |(name, shape): &(Cow<'_, str>, Vec<usize>)| {
                    *name == input.name && *shape == input.shape_for(copies)
                };
                constants.next().is_some_and(same)
            })
            && constants.next().is_none()
    }

    /// The index of the first of the inputs that the caller added.
    pub(super) fn more(&self) -> usize {
        CONSTANTS + self.constants.len()
    }

    /// Writes the inputs of the picture's next step, for those of its copies; `scaled` is room for
    /// the sample.
    pub(super) fn fill(
        &mut self,
        takes: InputNames<'_>,
        picture: &PictureRun,
        copies: &Range<usize>,
        scaled: &mut [f32],
        time_scale: f32,
    ) {
        let (schedule, elements) = (picture.scheduler.schedule(), picture.latents.len());
        let beside = &picture.beside[..self.beside];
        if let Some(sample) = self.bound.in_place(SAMPLE) {
            schedule.scale_model_input(picture.call, &picture.latents, &mut sample[..elements]);
            sample[elements..elements + self.beside].copy_from_slice(beside);
            let elements = elements + self.beside;
            for copy in 1..self.copies {
                sample.copy_within(..elements, copy * elements);
            }
        } else {
            schedule.scale_model_input(picture.call, &picture.latents, scaled);
            for copy in 0..self.copies {
                let at = copy * (elements + self.beside);
                self.bound.write(SAMPLE, at, scaled);
                self.bound.write(SAMPLE, at + elements, beside);
            }
        }
        self.bound.fill(TIMESTEP, schedule.timesteps()[picture.call] / time_scale);
        let (conditioning, first) = (&picture.conditioning, copies.start);
        let is_current = |(written, of): &(Arc<Conditioning>, usize)| {
            Arc::ptr_eq(written, conditioning) && *of == first
        };
        if !self.conditioning.as_ref().is_some_and(is_current) {
            for (index, input) in takes.of(conditioning).enumerate() {
                self.bound.write(CONSTANTS + index, 0, input.values_for(copies));
            }
            self.conditioning = Some((Arc::clone(conditioning), first));
        }
    }
}
