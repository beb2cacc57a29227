//! One picture on its way: what changes from step to step.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use super::control::Control;
use super::tasks::Blend;
use crate::noise::NoiseStream;
use crate::schedulers::Scheduler;

/// One picture being denoised. Made by [`Pipeline::start`](super::Pipeline::start), advanced by
/// `step`, ended by `finish`; dropping it abandons the picture.
pub struct State {
    pub(super) settings: Settings,
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
    /// The next one.
    pub(super) call: usize,
    pub(super) warnings: Vec<String>,
    pub(super) session_time: Duration,
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

/// How latents lie in memory, for the denoiser and between steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// [channels, rows, columns]
    Planes,
    /// [rows/2 · columns/2, channels · 4]: each token has a square of two by two cells, channel by
    /// channel (Flux).
    Packed,
}

impl Layout {
    /// The denoiser's sample, without the axis of copies.
    pub(super) fn dims(self, [channels, rows, columns]: [usize; 3]) -> Vec<usize> {
        match self {
            Self::Planes => vec![channels, rows, columns],
            Self::Packed => vec![rows / 2 * (columns / 2), channels * 4],
        }
    }

    /// Planes to this layout, where it is another.
    pub(super) fn packed(self, planes: Vec<f32>, shape: [usize; 3]) -> Vec<f32> {
        match self {
            Self::Planes => planes,
            Self::Packed => self.pack(&planes, shape),
        }
    }

    /// Planes to this layout.
    fn pack(self, planes: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let mut packed = vec![0.0; planes.len()];
        self.each(shape, |plane, place| packed[place] = planes[plane]);
        packed
    }

    /// This layout to planes.
    pub(super) fn unpack(self, packed: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let mut planes = vec![0.0; packed.len()];
        self.each(shape, |plane, place| planes[plane] = packed[place]);
        planes
    }

    /// Each element's index among planes and its index in this layout.
    fn each(self, [channels, rows, columns]: [usize; 3], mut visit: impl FnMut(usize, usize)) {
        for channel in 0..channels {
            for row in 0..rows {
                for column in 0..columns {
                    let plane = (channel * rows + row) * columns + column;
                    visit(
                        plane,
                        match self {
                            Self::Planes => plane,
                            Self::Packed => {
                                let token = row / 2 * (columns / 2) + column / 2;
                                token * channels * 4 + channel * 4 + row % 2 * 2 + column % 2
                            }
                        },
                    );
                }
            }
        }
    }
}

impl State {
    /// Steps taken so far.
    #[must_use]
    pub fn step_index(&self) -> usize {
        self.call - self.calls.start
    }

    /// Steps in all: calls of the model, which some schedulers make more than asked for.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.calls.len()
    }

    /// Whether all steps are taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.call >= self.calls.end
    }

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

    /// The request, checked and with its defaults.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
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

    /// Takes the scheduler's step with the model's prediction, and noise where it wants some.
    pub(super) fn advance(&mut self, prediction: &[f32]) {
        let last = self.call + 1 == self.calls.end;
        let noise =
            self.scheduler.schedule().step_noise(self.call).filter(|_| !(last && self.ends_clean));
        let noise = noise.map(|draw| {
            self.noise_stream.fill(draw, &mut self.noise);
            self.noise.as_slice()
        });
        self.scheduler.step(self.call, prediction, &mut self.latents, noise);
        self.call += 1;
        if let Some(blend) = &mut self.blend {
            let next = Some(self.call).filter(|call| *call < self.calls.end);
            blend.apply(self.scheduler.schedule(), next, &mut self.latents);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;

    #[test]
    fn packing_takes_squares_of_two_by_two() {
        let planes: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let packed = Layout::Packed.pack(&planes, [2, 2, 4]);
        let wanted = [0., 1., 4., 5., 8., 9., 12., 13., 2., 3., 6., 7., 10., 11., 14., 15.];
        assert_eq!(packed, wanted);
        assert_eq!(Layout::Packed.unpack(&packed, [2, 2, 4]), planes);
    }
}
