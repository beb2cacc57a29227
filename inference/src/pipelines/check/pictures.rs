//! Whether the pictures of a request fit a model and each other.

use crate::pipelines::{Description, Generation, Invalid};

impl Description {
    /// Checks what a picture is to start from; returns how much of it is made anew.
    pub(super) fn check_pictures(&self, request: &Generation) -> Result<Option<f64>, Invalid> {
        let text_to_image =
            self.tasks.iter().any(|task| matches!(*task, "text-to-image" | "general"));
        let goes_on = request.denoising_start.is_some() && request.latents.is_some();
        let Some(image) = &request.image else {
            let message = "there is no image to change; give one, or leave it out";
            if request.mask_image.is_some() {
                return Err(Invalid::new("mask_image", &"given", message));
            }
            if let Some(strength) = request.strength {
                return Err(Invalid::new("strength", &strength, message));
            }
            if !text_to_image && !goes_on {
                let message = format!("this model does {}; give an image", self.tasks.join(", "));
                return Err(Invalid::new("image", &"none", message));
            }
            return match request.denoising_start {
                Some(start) if !goes_on => {
                    let message = "give the latents or the image to go on with";
                    Err(Invalid::new("denoising_start", &start, message))
                }
                _ => Ok(None),
            };
        };
        if let Some(mask) = &request.mask_image {
            if (mask.width, mask.height) != (image.width, image.height) {
                let size = format!("of {}x{}", mask.width, mask.height);
                let message = format!(
                    "the image is of {}x{}; make both of one size",
                    image.width, image.height
                );
                return Err(Invalid::new("mask_image", &size, message));
            }
        } else if self.tasks == ["inpainting"] {
            let message = "this model fills parts of a picture; say which by a mask";
            return Err(Invalid::new("mask_image", &"none", message));
        }
        let Some(strengths) = self.default_strength else { return Ok(None) };
        let default = match request.mask_image {
            Some(_) => strengths.inpainting,
            None => strengths.image_to_image,
        };
        let strength = request.strength.unwrap_or(default);
        if !(strength > 0.0 && strength <= 1.0) {
            let message = "give a number above 0 (nothing is changed) up to 1 (all is)";
            return Err(Invalid::new("strength", &strength, message));
        }
        Ok(Some(strength))
    }

    /// Checks the latents' number for a picture of that size.
    pub(super) fn check_latents(
        &self,
        request: &Generation,
        [width, height]: [u32; 2],
    ) -> Result<(), Invalid> {
        let Some(latents) = &request.latents else { return Ok(()) };
        let [rows, columns] = [height / self.cell, width / self.cell];
        let wanted = self.latent_channels * rows as usize * columns as usize;
        let count = format!("of {} numbers", latents.len());
        if latents.len() != wanted {
            let channels = self.latent_channels;
            let message = format!("give {channels} x {rows} x {columns} for {width}x{height}");
            return Err(Invalid::new("latents", &count, message));
        }
        if latents.iter().any(|value| !value.is_finite()) {
            return Err(Invalid::new("latents", &count, "some of them aren't finite numbers"));
        }
        if request.image.is_some() {
            return Err(Invalid::new("latents", &count, "an image is given too; give one of them"));
        }
        Ok(())
    }
}
