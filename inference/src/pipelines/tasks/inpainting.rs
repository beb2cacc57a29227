//! A part of a picture made anew, by UNets that were trained for it and by any other.

use hearth_media::Image;

use super::{Start, planes};
use crate::pipelines::Error;
use crate::schedulers::Schedule;

/// Grey levels from this on are the part to make anew.
const LIGHT: u8 = 128;

/// Latents, the planes beside them, and what is blended in at each step.
type Parts = (Vec<f32>, Vec<f32>, Option<Blend>);

/// What brings the known part back after each step. All of it in the latents' layout.
pub(in crate::pipelines) struct Blend {
    known: Vec<f32>,
    noise: Vec<f32>,
    /// 1 where the picture is made anew, 0 where it is known.
    mask: Vec<f32>,
    /// Room for the known part at a step's level of noise.
    noisy: Vec<f32>,
}

impl Blend {
    /// Brings the known part of `latents` back; they are at the level of call `next`, or without
    /// noise where that is none.
    pub(in crate::pipelines) fn apply(
        &mut self,
        schedule: &Schedule,
        next: Option<usize>,
        latents: &mut [f32],
    ) {
        let known = match next {
            Some(call) => {
                schedule.add_noise(call, &self.known, &self.noise, &mut self.noisy);
                &self.noisy
            }
            None => &self.known,
        };
        for ((value, known), mask) in latents.iter_mut().zip(known).zip(&self.mask) {
            *value = (1.0 - mask) * known + mask * *value;
        }
    }
}

impl Start<'_> {
    pub(super) fn inpaint(&mut self, image: &Image, mask: &Image) -> Result<Parts, Error> {
        let (width, height) = (self.settings.width, self.settings.height);
        let mask: Vec<_> = mask.resized(width, height).grey();
        let goes_on = self.settings.request.denoising_start.is_some();
        let whole = self.settings.strength.is_some_and(|strength| strength >= 1.0);
        let known = match whole && self.inpainting_model {
            true => None,
            false => Some(self.encode(image)?),
        };
        let noise = self.draw();
        let latents = match &known {
            Some(known) if goes_on => known.clone(),
            Some(known) if !whole => self.noised(known, &noise),
            _ => {
                let sigma = self.schedule.init_noise_sigma();
                noise.iter().map(|value| value * sigma).collect()
            }
        };
        let cells = self.cells(&mask, width as usize);
        if self.inpainting_model {
            let mut masked = planes(&image.resized(width, height));
            for plane in masked.chunks_exact_mut(mask.len()) {
                let light = plane.iter_mut().zip(&mask).filter(|(_, grey)| **grey >= LIGHT);
                light.for_each(|(value, _)| *value = 0.0);
            }
            let masked = self.encode_planes(&masked)?;
            return Ok((latents, [cells, masked].concat(), None));
        }
        // diffusers encodes the masked picture here too, and leaves its latents unused; what that
        // draws is drawn here, so that the steps' noise is the same.
        self.draw();
        let known = known.unwrap_or_default();
        let mask = cells.repeat(self.shape[0]);
        let [known, noise, mask] =
            [known, noise, mask].map(|planes| self.layout.packed(planes, self.shape));
        let noisy = vec![0.0; known.len()];
        Ok((latents, Vec::new(), Some(Blend { known, noise, mask, noisy })))
    }

    /// The mask at the latents' size: of each cell its first pixel counts.
    fn cells(&self, mask: &[u8], width: usize) -> Vec<f32> {
        let [_, rows, columns] = self.shape;
        let cell = width / columns;
        let light = |row: usize, column: usize| mask[row * cell * width + column * cell] >= LIGHT;
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        places.map(|(row, column)| f32::from(u8::from(light(row, column)))).collect()
    }
}
