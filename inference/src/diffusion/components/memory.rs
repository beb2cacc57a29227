//! The inputs of a graph that runs at every step, in memory that its runs reuse: the sample, the
//! timestep, and what stays the same from step to step.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::batch::{Batch, Part};
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
    /// The length of the batch axis.
    rows: usize,
    /// The graph takes one timestep for the whole call.
    shares_timestep: bool,
    shape: [usize; 3],
    layout: Layout,
    /// Elements beside the sample of each copy.
    beside: usize,
    /// The constants now in the memory, picture by picture, and the first copy that they are of.
    conditioning: Vec<Option<(Arc<Conditioning>, usize)>>,
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
    /// Binds `session`'s inputs for such a batch, then `more` inputs and the `outputs`.
    pub(super) fn new(
        session: &Session,
        takes: InputNames<'_>,
        batch: Batch<'_>,
        more: &[(&str, &[usize])],
        outputs: &[(&str, &[usize])],
    ) -> Result<Self, Error> {
        let (picture, rows) = (batch.first, batch.rows());
        let mut sample = [&[rows], picture.layout.dims(picture.shape).as_slice()].concat();
        let [_, height, width] = picture.shape;
        let beside = takes.beside(picture);
        sample[1] += beside / (height * width);
        let times = [rows];
        let shares_timestep = session.input(takes.timestep).map(Port::rank)? == 0;
        let timestep: &[usize] = if shares_timestep { &[] } else { &times };
        let constants: Vec<_> = takes
            .of(batch.conditioning())
            .map(|input| (input.name.clone(), input.shape_for(rows)))
            .collect();
        let mut inputs = vec![(takes.sample, sample.as_slice()), (takes.timestep, timestep)];
        inputs.extend(constants.iter().map(|(name, shape)| (name.as_ref(), shape.as_slice())));
        inputs.extend_from_slice(more);
        Ok(Self {
            bound: session.bind(&inputs, outputs)?,
            rows,
            shares_timestep,
            shape: picture.shape,
            layout: picture.layout,
            beside,
            conditioning: vec![None; batch.len()],
            constants,
        })
    }

    /// Whether it has the shapes that the batch needs.
    pub(super) fn fits(&self, takes: InputNames<'_>, batch: Batch<'_>) -> bool {
        let (picture, rows) = (batch.first, batch.rows());
        let mut constants = self.constants.iter();
        self.rows == rows
            && self.conditioning.len() == batch.len()
            && self.shape == picture.shape
            && self.layout == picture.layout
            && self.beside == takes.beside(picture)
            && takes.of(batch.conditioning()).all(|input| {
                let same = |(name, shape): &(Cow<'_, str>, Vec<usize>)| {
                    *name == input.name && *shape == input.shape_for(rows)
                };
                constants.next().is_some_and(same)
            })
            && constants.next().is_none()
    }

    /// The index of the first of the inputs that the caller added.
    pub(super) fn more(&self) -> usize {
        CONSTANTS + self.constants.len()
    }

    /// Writes the inputs of the pictures' next steps; `scaled` is room for one sample.
    pub(super) fn fill(
        &mut self,
        takes: InputNames<'_>,
        batch: Batch<'_>,
        scaled: &mut [f32],
        time_scale: f32,
    ) {
        for part in batch.parts() {
            let Part { picture, rows, .. } = &part;
            self.fill_sample(picture, rows, scaled);
            let time = picture.scheduler.schedule().timesteps()[picture.call] / time_scale;
            if self.shares_timestep {
                self.bound.fill(TIMESTEP, time);
            } else {
                rows.clone().for_each(|row| self.bound.write(TIMESTEP, row, &[time]));
            }
            self.fill_constants(takes, &part);
        }
    }

    /// Writes the scaled sample of a picture, and what lies beside it, into its rows.
    fn fill_sample(&mut self, picture: &PictureRun, rows: &Range<usize>, scaled: &mut [f32]) {
        let (schedule, elements) = (picture.scheduler.schedule(), picture.latents.len());
        let beside = &picture.beside[..self.beside];
        let whole = elements + self.beside;
        if let Some(sample) = self.bound.in_place(SAMPLE) {
            let own = &mut sample[rows.start * whole..rows.end * whole];
            schedule.scale_model_input(picture.call, &picture.latents, &mut own[..elements]);
            own[elements..whole].copy_from_slice(beside);
            for copy in 1..rows.len() {
                own.copy_within(..whole, copy * whole);
            }
        } else {
            schedule.scale_model_input(picture.call, &picture.latents, scaled);
            for row in rows.clone() {
                self.bound.write(SAMPLE, row * whole, scaled);
                self.bound.write(SAMPLE, row * whole + elements, beside);
            }
        }
    }

    /// Writes a picture's constants, where those of another one, or of other copies, are in its place.
    fn fill_constants(&mut self, takes: InputNames<'_>, part: &Part<'_>) {
        let Part { picture, place, rows, copies } = part;
        let (conditioning, first) = (&picture.conditioning, copies.start);
        let written = &mut self.conditioning[*place];
        if written.as_ref().is_some_and(|(own, of)| Arc::ptr_eq(own, conditioning) && *of == first)
        {
            return;
        }
        *written = Some((Arc::clone(conditioning), first));
        for (index, input) in takes.of(conditioning).enumerate() {
            let values = input.values_for(copies);
            let at = if input.is_per_copy() { rows.start * values.len() / rows.len() } else { 0 };
            self.bound.write(CONSTANTS + index, at, values);
        }
    }
}
