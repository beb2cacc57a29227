//! The latents of a picture's first step: drawn, encoded and noised, in diffusers' order.

use hearth_media::Image;

use super::blend::Blend;
use super::source::Source;
use crate::diffusion::components::{VaeEncoder, bad};
use crate::diffusion::layout::Layout;
use crate::diffusion::settings::Settings;
use crate::model::Error;
use crate::noise::NoiseStream;
use crate::schedulers::Schedule;
use crate::session::Interrupt;

/// What a picture starts from.
pub(in crate::diffusion) struct Start<'a> {
    pub(in crate::diffusion) settings: &'a Settings,
    pub(in crate::diffusion) schedule: &'a Schedule,
    /// The schedule's call that comes first.
    pub(in crate::diffusion) call: usize,
    /// Channels, rows and columns of the latents.
    pub(in crate::diffusion) shape: [usize; 3],
    pub(in crate::diffusion) layout: Layout,
    pub(in crate::diffusion) noise: &'a mut NoiseStream,
    pub(in crate::diffusion) encoder: Option<&'a mut VaeEncoder>,
    /// The denoiser takes the mask and what is masked beside the sample.
    pub(in crate::diffusion) inpainting_model: bool,
    pub(in crate::diffusion) interrupt: &'a Interrupt,
}

/// The latents of the first step, and what stays beside them.
pub(in crate::diffusion) struct Beginning {
    pub(in crate::diffusion) latents: Vec<f32>,
    /// Planes that the denoiser takes beside the sample; empty for most.
    pub(in crate::diffusion) beside: Vec<f32>,
    /// The known part that each step's result is brought back to.
    pub(in crate::diffusion) blend: Option<Blend>,
}

impl Start<'_> {
    /// Draws and encodes what the request starts from.
    pub(in crate::diffusion) fn start(mut self, source: &Source) -> Result<Beginning, Error> {
        let (latents, beside, blend) = match source {
            Source::Noise => {
                let noise = self.draw();
                (self.at_first_level(noise), Vec::new(), None)
            }
            Source::Latents(own) => (self.at_first_level(own.clone()), Vec::new(), None),
            Source::Picture(image) => {
                let known = self.encode(image)?;
                (self.noisy(known), Vec::new(), None)
            }
            Source::Encoded(known) => (self.noisy(known.clone()), Vec::new(), None),
            Source::Part { image, mask } => self.inpaint(image, mask)?,
        };
        Ok(Beginning { latents: self.layout.packed(latents, self.shape), beside, blend })
    }

    /// Unit noise at the schedule's first level; or latents that go on as they are.
    fn at_first_level(&self, mut latents: Vec<f32>) -> Vec<f32> {
        if self.settings.request.denoising_start.is_none() {
            let sigma = self.schedule.init_noise_sigma();
            latents.iter_mut().for_each(|value| *value *= sigma);
        }
        latents
    }

    /// A picture's latents with the first step's noise, or as they are where another model has
    /// left them.
    fn noisy(&mut self, known: Vec<f32>) -> Vec<f32> {
        if self.settings.request.denoising_start.is_some() {
            return known;
        }
        let noise = self.draw();
        self.noised(&known, &noise)
    }

    pub(super) fn noised(&self, known: &[f32], noise: &[f32]) -> Vec<f32> {
        let mut noisy = vec![0.0; known.len()];
        self.schedule.add_noise(self.call, known, noise, &mut noisy);
        noisy
    }

    pub(super) fn draw(&mut self) -> Vec<f32> {
        let mut noise = vec![0.0; self.shape.iter().product()];
        self.noise.fill_normal(&mut noise);
        noise
    }

    /// The picture's latents.
    pub(super) fn encode(&mut self, image: &Image) -> Result<Vec<f32>, Error> {
        self.encode_planes(&planes(image))
    }

    pub(super) fn encode_planes(&mut self, planes: &[f32]) -> Result<Vec<f32>, Error> {
        match &mut self.encoder {
            Some(encoder) => {
                encoder.encode(planes, self.shape, self.settings, self.noise, self.interrupt)
            }
            // Not reached: requests with a picture are refused where there is no encoder.
            None => Err(bad("vae_encoder", "it is missing".to_owned())),
        }
    }
}

/// A picture as planes of values in [-1, 1].
pub(super) fn planes(image: &Image) -> Vec<f32> {
    let value = |byte: u8| f32::from(byte) / 255.0 * 2.0 - 1.0;
    let channel = |channel| image.rgb.iter().skip(channel).step_by(3).map(|&byte| value(byte));
    (0..3).flat_map(channel).collect()
}
