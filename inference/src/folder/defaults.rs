//! `hearth.json`: what a folder says about its use that diffusers has no file for.

use serde::Deserialize;

use super::VaeTiling;

/// Defaults that suit this model; a request's own values win. Unknown keys are refused.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
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
    /// How the VAE cuts large pictures; what a worker's config says comes first.
    pub vae_tiling: VaeTiling,
}
