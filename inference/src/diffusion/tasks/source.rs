//! What a picture starts from, made ready before anything is computed.

use hearth_media::Image;

use crate::diffusion::latents::Latents;
use crate::diffusion::layout::Layout;
use crate::diffusion::request::PictureRequest;
use crate::diffusion::settings::Settings;

/// What a picture starts from. Pictures have the size that is made, latents are planes.
#[derive(Debug)]
pub(in crate::diffusion) enum Source {
    /// Noise that is drawn.
    Noise,
    /// Unit noise that is given, or what another model has left.
    Latents(Vec<f32>),
    /// A picture to change.
    Picture(Image),
    /// The same as latents.
    Encoded(Vec<f32>),
    /// A picture of which a part is made anew, and how light its mask is.
    Part { image: Image, mask: Vec<u8> },
}

impl Source {
    /// What a checked request starts from; its latents have `shape`, in the model's `layout` or as
    /// planes.
    pub(in crate::diffusion) fn of(
        request: &PictureRequest,
        settings: &Settings,
        layout: Layout,
        shape: [usize; 3],
    ) -> Self {
        let sized = |image: &Image| image.resized(settings.width, settings.height);
        match (&request.image, &request.mask_image) {
            (Some(image), Some(mask)) => {
                Self::Part { image: sized(image), mask: sized(mask).grey() }
            }
            (Some(image), None) => Self::Picture(sized(image)),
            (None, _) => {
                let planes = |latents: &Latents| latents.planes(layout, shape);
                // The check has seen that they fit.
                match (&request.image_latents, &request.latents) {
                    (Some(known), _) => Self::Encoded(planes(known).unwrap_or_default()),
                    (None, Some(own)) => Self::Latents(planes(own).unwrap_or_default()),
                    (None, None) => Self::Noise,
                }
            }
        }
    }
}
