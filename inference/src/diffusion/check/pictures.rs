//! Whether the pictures of a request fit a model and each other.

use hearth_api::request::Task;

use crate::diffusion::request::PictureRequest;
use crate::diffusion::rules::Rules;
use crate::model::Invalid;

impl Rules {
    /// Checks what a picture is to start from; returns how much of it is made anew.
    pub(super) fn check_pictures(&self, request: &PictureRequest) -> Result<Option<f64>, Invalid> {
        let text_to_image = self
            .pictures
            .tasks
            .iter()
            .any(|task| matches!(task, Task::TextToImage | Task::General));
        let goes_on = request.denoising_start.is_some() && request.latents.is_some();
        if request.image_latents.is_some() {
            return self.check_image_latents(request);
        }
        if request.image.is_none() {
            let message = "there is no image to change; give one, or leave it out";
            if request.mask_image.is_some() {
                return Err(Invalid::new("mask_image", &"given", message));
            }
            if let Some(strength) = request.strength {
                return Err(Invalid::new("strength", &strength, message));
            }
            if !text_to_image && !goes_on {
                let message = format!("this model does {}; give an image", self.task_names());
                return Err(Invalid::new("image", &"none", message));
            }
            return match request.denoising_start {
                Some(start) if !goes_on => {
                    let message = "give the latents or the image to go on with";
                    Err(Invalid::new("denoising_start", &start, message))
                }
                _ => Ok(None),
            };
        }
        if request.mask_image.is_none() && self.pictures.tasks == [Task::Inpainting] {
            let message = "this model fills parts of a picture; say which by a mask";
            return Err(Invalid::new("mask_image", &"none", message));
        }
        self.strength(request)
    }

    /// Checks latents that stand for the picture to start from.
    fn check_image_latents(&self, request: &PictureRequest) -> Result<Option<f64>, Invalid> {
        let message = match &request.mask_image {
            Some(_) => "a part of them can't be masked; give the picture itself",
            None if self.pictures.tasks == [Task::Inpainting] => {
                "this model fills parts of a picture"
            }
            None => return self.strength(request),
        };
        Err(Invalid::new("image", &"of latents", message))
    }

    /// How much of a picture is made anew; none where `denoising_start` says it.
    fn strength(&self, request: &PictureRequest) -> Result<Option<f64>, Invalid> {
        let default = self.task_defaults(request).and_then(|defaults| defaults.strength);
        let Some(strength) = request.strength.or(default) else { return Ok(None) };
        if !(strength > 0.0 && strength <= 1.0) {
            let message = "give a number above 0 (nothing is changed) up to 1 (all is)";
            return Err(Invalid::new("strength", &strength, message));
        }
        Ok(Some(strength).filter(|_| request.denoising_start.is_none()))
    }

    /// Checks the latents' shape and numbers for a picture of that size.
    pub(super) fn check_latents(
        &self,
        request: &PictureRequest,
        [width, height]: [u32; 2],
    ) -> Result<(), Invalid> {
        let [rows, columns] = [height / self.cell, width / self.cell].map(|side| side as usize);
        let shape = [self.pictures.latent_channels, rows, columns];
        let given = [("image", &request.image_latents), ("latents", &request.latents)];
        for (field, latents) in given {
            let Some(latents) = latents else { continue };
            if !latents.are(self.layout(), shape) {
                let channels = self.pictures.latent_channels;
                let message = format!("give {channels} x {rows} x {columns} for {width}x{height}");
                return Err(Invalid::new(field, &latents.shown(), message));
            }
            if let Some(wrong) = latents.wrong() {
                return Err(Invalid::new(field, &latents.shown(), wrong));
            }
        }
        match &request.latents {
            Some(latents) if request.has_picture() => {
                let message = "an image is given too; give one of them";
                Err(Invalid::new("latents", &latents.shown(), message))
            }
            _ => Ok(()),
        }
    }
}
