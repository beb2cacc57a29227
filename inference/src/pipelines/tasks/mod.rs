//! What a picture starts from: noise, a picture to change, or a part of one to fill.
//!
//! Each draws from the image's noise stream in diffusers' order, so that the same seed gives the
//! same picture. All of it is done in planes; the denoiser's layout comes last.

mod inpainting;

use hearth_media::Image;

pub(super) use self::inpainting::Blend;
use super::parts::VaeEncoder;
use super::state::Layout;
use super::{Error, Latents, Settings};
use crate::noise::NoiseStream;
use crate::schedulers::Schedule;
use crate::session::Interrupt;

/// What a picture starts from.
pub(super) struct Start<'a> {
    pub(super) settings: &'a Settings,
    pub(super) schedule: &'a Schedule,
    /// The schedule's call that comes first.
    pub(super) call: usize,
    /// Channels, rows and columns of the latents.
    pub(super) shape: [usize; 3],
    pub(super) layout: Layout,
    pub(super) noise: &'a mut NoiseStream,
    pub(super) encoder: Option<&'a mut VaeEncoder>,
    /// The denoiser takes the mask and what is masked beside the sample.
    pub(super) inpainting_model: bool,
    pub(super) interrupt: &'a Interrupt,
}

/// The latents of the first step, and what stays beside them.
pub(super) struct Begun {
    pub(super) latents: Vec<f32>,
    /// Planes that the denoiser takes beside the sample; empty for most.
    pub(super) beside: Vec<f32>,
    /// The known part that each step's result is brought back to.
    pub(super) blend: Option<Blend>,
}

impl Start<'_> {
    /// Draws and encodes what the request starts from.
    pub(super) fn begin(mut self) -> Result<Begun, Error> {
        let request = &self.settings.request;
        let (image, mask) = (request.image.clone(), request.mask_image.clone());
        let (latents, beside, blend) = match (image, mask) {
            (Some(image), Some(mask)) => self.inpaint(&image, &mask)?,
            (Some(image), None) => {
                let known = self.encode(&image)?;
                (self.noisy(known), Vec::new(), None)
            }
            (None, _) => match &request.image_latents {
                Some(known) => {
                    let known = self.given(known);
                    (self.noisy(known), Vec::new(), None)
                }
                None => (self.noise_alone(), Vec::new(), None),
            },
        };
        Ok(Begun { latents: self.layout.packed(latents, self.shape), beside, blend })
    }

    /// Unit noise, drawn or given, at the schedule's level; or latents that go on as they are.
    fn noise_alone(&mut self) -> Vec<f32> {
        let request = &self.settings.request;
        let mut latents = match &request.latents {
            Some(latents) => self.given(latents),
            None => self.draw(),
        };
        if request.denoising_start.is_none() {
            let sigma = self.schedule.init_noise_sigma();
            latents.iter_mut().for_each(|value| *value *= sigma);
        }
        latents
    }

    /// Latents of the request, as planes.
    fn given(&self, latents: &Latents) -> Vec<f32> {
        // The check has seen that they fit.
        latents.planes(self.layout, self.shape).unwrap_or_default()
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

    fn noised(&self, known: &[f32], noise: &[f32]) -> Vec<f32> {
        let mut noisy = vec![0.0; known.len()];
        self.schedule.add_noise(self.call, known, noise, &mut noisy);
        noisy
    }

    fn draw(&mut self) -> Vec<f32> {
        let mut noise = vec![0.0; self.shape.iter().product()];
        self.noise.fill_normal(&mut noise);
        noise
    }

    /// The picture's latents, brought to the request's size first.
    fn encode(&mut self, image: &Image) -> Result<Vec<f32>, Error> {
        let resized = image.resized(self.settings.width, self.settings.height);
        self.encode_planes(&planes(&resized))
    }

    fn encode_planes(&mut self, planes: &[f32]) -> Result<Vec<f32>, Error> {
        match &mut self.encoder {
            Some(encoder) => {
                let request = &self.settings.request;
                encoder.encode(planes, self.shape, request, self.noise, self.interrupt)
            }
            // Not reached: requests with a picture are refused where there is no encoder.
            None => Err(super::parts::bad("vae_encoder", "it is missing".to_owned())),
        }
    }
}

/// A picture as planes of values in [-1, 1].
fn planes(image: &Image) -> Vec<f32> {
    let value = |byte: u8| f32::from(byte) / 255.0 * 2.0 - 1.0;
    let channel = |channel| image.rgb.iter().skip(channel).step_by(3).map(|&byte| value(byte));
    (0..3).flat_map(channel).collect()
}
