//! `hearth.json`: what a folder says about its use that diffusers has no file for.

use serde::Deserialize;

use super::limits::MAX_SIDE;
use super::tiling::VaeTiling;

/// No scheduler is trained on more steps.
const MAX_STEPS: u32 = 100_000;
/// What a request may have.
const MAX_GUIDANCE: f32 = 1000.0;

/// Defaults that suit this model; a request's own values win. Unknown keys are refused.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FolderDefaults {
    /// Number of steps, instead of the family's.
    pub num_inference_steps: Option<u32>,
    /// Guidance scale, instead of the family's.
    pub guidance_scale: Option<f32>,
    /// Pixels in a row, instead of what the UNet was trained at.
    pub width: Option<u32>,
    /// Rows, likewise.
    pub height: Option<u32>,
    /// The longest side accepted, in pixels, instead of twice the default.
    pub max_size: Option<u32>,
    /// Whether the UNet takes latents of any size (`tools/export/any_size.py` makes it so).
    pub any_size: bool,
    /// How the VAE cuts large pictures; what a worker's config says comes first.
    pub vae_tiling: VaeTiling,
}

impl FolderDefaults {
    /// Checks what doesn't depend on the model.
    ///
    /// # Errors
    /// The first key that can't be used, with its value and what would do.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, value, most) in [
            ("num_inference_steps", self.num_inference_steps, MAX_STEPS),
            ("width", self.width, MAX_SIDE),
            ("height", self.height, MAX_SIDE),
            ("max_size", self.max_size, MAX_SIDE),
        ] {
            if let Some(value) = value.filter(|value| !(1..=most).contains(value)) {
                return Err(format!("{key} {value}: give 1 to {most}"));
            }
        }
        if let Some(scale) =
            self.guidance_scale.filter(|scale| !(0.0..=MAX_GUIDANCE).contains(scale))
        {
            return Err(format!("guidance_scale {scale}: give a number from 0 to {MAX_GUIDANCE}"));
        }
        Ok(())
    }
}
