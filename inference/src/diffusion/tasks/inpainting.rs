//! A part of a picture made anew, by UNets that were trained for it and by any other.

use hearth_media::Image;

use super::blend::Blend;
use super::start::{Start, planes};
use crate::model::Error;

/// Grey levels from this on are what to make anew.
const LIGHT: u8 = 128;

/// Latents, the planes beside them, and what is blended in at each step.
type Ready = (Vec<f32>, Vec<f32>, Option<Blend>);

impl Start<'_> {
    pub(super) fn inpaint(&mut self, image: &Image, mask: &[u8]) -> Result<Ready, Error> {
        let width = self.settings.width as usize;
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
        let cells = self.cells(mask, width);
        if self.inpainting_model {
            let mut masked = planes(image);
            for plane in masked.chunks_exact_mut(mask.len()) {
                let light = plane.iter_mut().zip(mask).filter(|(_, grey)| **grey >= LIGHT);
                light.for_each(|(value, _)| *value = 0.0);
            }
            let masked = self.encode_planes(&masked)?;
            return Ok((latents, [cells, masked].concat(), None));
        }
        // diffusers encodes the masked picture here too, and leaves its latents unused; what that
        // draws is drawn here, so that the steps' noise is the same.
        if self.encoder.as_ref().is_some_and(|encoder| encoder.draws()) {
            self.draw();
        }
        let known = known.unwrap_or_default();
        let mask = cells.repeat(self.shape[0]);
        let [known, noise, mask] =
            [known, noise, mask].map(|planes| self.layout.packed(planes, self.shape));
        Ok((latents, Vec::new(), Some(Blend::new(known, noise, mask))))
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
