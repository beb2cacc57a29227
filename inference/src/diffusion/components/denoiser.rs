//! The denoiser: one call of the UNet or transformer per step, with guidance as a batch of two, for
//! one picture or for several.

use std::borrow::Cow;
use std::time::Duration;

use super::adapters::Adapters;
use super::batch::Batch;
use super::controlnets::ControlNets;
use super::denoiser_ports::Ports;
use super::guidance;
use super::memory::Memory;
use super::numbers;
use super::residuals::Residuals;
use crate::diffusion::run::PictureRun;
use crate::model::{Error, Run as _};
use crate::session::{Device, Interrupt, Session};

/// The denoiser and the memory that its calls reuse.
pub(in crate::diffusion) struct Denoiser {
    pub(super) session: Session,
    pub(super) ports: Ports,
    pub(super) adapters: Adapters,
    pub(super) memory: Option<Memory>,
    pub(super) residuals: Option<Residuals>,
    pub(super) nets: ControlNets,
    pub(super) gives: usize,
    /// How many copies of the sample it takes at once, where that is built in.
    pub(super) batch: Option<usize>,
    /// The scaled sample, for graphs that aren't single precision.
    pub(super) scaled: Vec<f32>,
    /// The model's output, picture by picture; with guidance the unconditional half first.
    pub(super) output: Vec<f32>,
}

impl Denoiser {
    /// Its LoRA adapters. Their strengths are constants of a picture, as its prompt is.
    pub(in crate::diffusion) fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// The graph's name.
    pub(in crate::diffusion) fn name(&self) -> &'static str {
        self.ports.component
    }

    /// The graph itself, and those that steer it.
    pub(in crate::diffusion) fn graphs(&mut self) -> Vec<&mut Session> {
        let mut graphs = vec![&mut self.session];
        graphs.extend(self.nets.graphs());
        graphs
    }

    /// Time spent in the sessions so far.
    pub(in crate::diffusion) fn busy(&self) -> Duration {
        self.session.busy() + self.nets.busy()
    }

    /// Runs the model for the pictures' next steps: those of one batch key, and one alone where it
    /// can't be shared. What it predicts for each is [`prediction`](Self::prediction).
    pub(in crate::diffusion) fn predict(
        &mut self,
        pictures: &[&PictureRun],
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let Some(whole) = Batch::new(pictures) else { return Ok(()) };
        let (elements, copies) = (whole.first.latents.len(), whole.copies);
        self.output.resize(whole.rows() * elements * self.gives, 0.0);
        self.scaled.resize(elements, 0.0);
        // A graph for one at once runs once for each.
        let at_once = self.batch.map_or(copies, |batch| batch.min(copies)).max(1);
        for first in (0..copies).step_by(at_once) {
            self.run(whole.some(first, at_once), first, interrupt)?;
        }
        Ok(())
    }

    /// What the last call predicted for the picture at that place of it, guided if it has guidance.
    /// To be asked once.
    pub(in crate::diffusion) fn prediction(
        &mut self,
        place: usize,
        picture: &PictureRun,
    ) -> Result<&[f32], Error> {
        let (conditioning, copies) = (&picture.conditioning, picture.copies().len());
        let given = picture.latents.len() * self.gives;
        let own = place * copies * given..(place + 1) * copies * given;
        if !numbers::are_finite(&self.output[own.clone()]) {
            return Err(self.overflow(picture));
        }
        let (first, second) = self.output[own].split_at_mut(given);
        if copies == 2 {
            guidance::guide(first, second, conditioning.guidance_scale);
            if conditioning.guidance_rescale > 0.0 {
                guidance::rescale(first, second, conditioning.guidance_rescale);
            }
        }
        Ok(first)
    }

    /// Runs the graph for those of the pictures' copies, and keeps what it gives from row `first` on.
    fn run(&mut self, batch: Batch<'_>, first: usize, interrupt: &Interrupt) -> Result<(), Error> {
        let takes = self.ports.takes();
        let mut memory = match self.memory.take() {
            Some(memory) if memory.fits(takes, batch) => memory,
            _ => self.memory_for(batch)?,
        };
        memory.fill(takes, batch, &mut self.scaled, self.ports.time_scale);
        if let Some(residuals) = &mut self.residuals {
            let given = self.nets.run(batch, &mut self.scaled, interrupt)?;
            residuals.feed(&self.session, &mut memory.bound, given, batch.rows())?;
        }
        let ran = self.session.run_bound(&mut memory.bound, interrupt);
        let given = batch.first.latents.len() * self.gives;
        let at = first * given;
        memory.bound.read(0, 0, &mut self.output[at..at + batch.rows() * given]);
        self.memory = Some(memory);
        ran.map_err(Error::from)
    }

    /// What is said where the prediction isn't all numbers: by whose fault, as far as it can be seen.
    fn overflow(&mut self, picture: &PictureRun) -> Error {
        let net = match (&picture.control, self.session.device()) {
            (Some(_), Device::Cpu) => self.nets.overflowed().map(Cow::from),
            _ => None,
        };
        let step = Some((picture.step_index() + 1, picture.steps()));
        Error::NotANumber { graph: net.unwrap_or(self.ports.component.into()), step }
    }

    fn memory_for(&mut self, batch: Batch<'_>) -> Result<Memory, Error> {
        let sample = batch.first.layout.dims(batch.first.shape);
        let mut output = [&[batch.rows()], sample.as_slice()].concat();
        output[1] *= self.gives;
        let outputs = [(self.ports.output, output.as_slice())];
        if let Some(residuals) = &mut self.residuals {
            residuals.forget();
        }
        Memory::new(&self.session, self.ports.takes(), batch, &[], &outputs)
    }
}
