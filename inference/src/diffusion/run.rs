//! One picture on its way: what changes from step to step.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use hearth_api::GenerationRequest;

use super::conditioning::Conditioning;
use super::control::Control;
use super::layout::Layout;
use super::settings::Settings;
use super::snapshot;
use super::tasks::Blend;
use crate::model::{BatchKey, Error, Run, Snapshot};
use crate::noise::NoiseStream;
use crate::schedulers::Scheduler;

/// One picture being denoised: the run that a model of this kind starts.
pub struct PictureRun {
    /// What it must have in common with runs that could share a call of the denoiser; none where it
    /// has its calls alone.
    pub(super) batch_key: Option<BatchKey>,
    pub(super) settings: Arc<Settings>,
    /// The request with its defaults.
    pub(super) request: Arc<GenerationRequest>,
    pub(super) seed: u64,
    pub(super) scheduler: Scheduler,
    /// This picture's own stream: initial noise first, then the steps' noise.
    pub(super) noise_stream: NoiseStream,
    pub(super) conditioning: Arc<Conditioning>,
    /// Channels, rows and columns of the latents.
    pub(super) shape: [usize; 3],
    pub(super) layout: Layout,
    pub(super) latents: Vec<f32>,
    /// Planes that the denoiser takes beside the sample; empty for most models.
    pub(super) beside: Vec<f32>,
    /// What steers the denoiser besides, where the request brings control images.
    pub(super) control: Option<Arc<Control>>,
    /// What brings the known part of a picture back after each step.
    pub(super) blend: Option<Blend>,
    /// Room for a step's noise; empty for schedulers that draw none.
    pub(super) noise: Vec<f32>,
    /// Whether the last call's step adds no noise, whatever the schedule.
    pub(super) ends_clean: bool,
    /// The scheduler's calls that this picture takes.
    pub(super) calls: Range<usize>,
    /// Those of them that have guidance, if the picture has any.
    pub(super) guided: Range<usize>,
    /// The next one.
    pub(super) call: usize,
    pub(super) warnings: Vec<String>,
    pub(super) session_time: Duration,
}

impl PictureRun {
    /// The latents as they stand, as the scheduler has them: [channels, rows, columns], or Flux's
    /// packed tokens.
    #[must_use]
    pub fn latents(&self) -> &[f32] {
        &self.latents
    }

    /// Channels, rows and columns of the latents.
    #[must_use]
    pub fn latent_shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The picture's seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What the caller should know, such as a cut prompt.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Brings a picture that was just started to where the snapshot was taken.
    ///
    /// The noise of the steps that were taken is drawn again: that takes a moment, and generators
    /// need no form of their own in which they are kept.
    ///
    /// # Errors
    /// [`Error::Snapshot`].
    pub(super) fn put_back(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        let (latents, rule) = snapshot::read(snapshot, self.latents.len())?;
        let (taken, steps) = (snapshot.step_index, self.steps());
        if taken > steps {
            let message = format!("it has taken {taken} steps, this run has {steps}");
            return Err(Error::Snapshot(message));
        }
        let restored = self.scheduler.restore(rule, latents.len());
        restored.map_err(|error| Error::Snapshot(error.to_string()))?;
        self.latents = latents;
        for _ in 0..taken {
            self.draw();
            self.call += 1;
        }
        Ok(())
    }

    /// The copies of the sample that the next step needs: without guidance that of the prompt alone,
    /// which is the last.
    pub(super) fn copies(&self) -> Range<usize> {
        let all = self.conditioning.copies;
        if self.guided.contains(&self.call) { 0..all } else { all - 1..all }
    }

    /// Draws the noise that the next step is to be given, if any.
    pub(super) fn draw(&mut self) -> Option<&[f32]> {
        let last = self.call + 1 == self.calls.end;
        let draw = self.scheduler.schedule().step_noise(self.call);
        let draw = draw.filter(|_| !(last && self.ends_clean))?;
        self.noise_stream.fill(draw, &mut self.noise);
        Some(&self.noise)
    }

    /// Takes the scheduler's step with the model's prediction, and noise where it wants some.
    pub(super) fn advance(&mut self, prediction: &[f32]) {
        let drawn = self.draw().is_some();
        let noise = drawn.then_some(self.noise.as_slice());
        self.scheduler.step(self.call, prediction, &mut self.latents, noise);
        self.call += 1;
        if let Some(blend) = &mut self.blend {
            let next = Some(self.call).filter(|call| *call < self.calls.end);
            blend.apply(self.scheduler.schedule(), next, &mut self.latents);
        }
    }
}

impl Run for PictureRun {
    fn batch_key(&self) -> Option<BatchKey> {
        let key = self.batch_key.as_ref()?.rows(self.copies().len());
        Some(if key.is_in_step() { key.at(self.call) } else { key })
    }

    fn step_index(&self) -> usize {
        self.call - self.calls.start
    }

    fn steps(&self) -> usize {
        self.calls.len()
    }

    fn snapshot(&self) -> Snapshot {
        snapshot::write(self.seed, &self.latents, &self.scheduler.snapshot())
    }
}
