//! What a request takes where it says nothing: diffusers' defaults, by family and task.
//!
//! They are those of the pipeline class that diffusers has for the task; a test holds this table
//! against those classes' signatures.

use serde::Serialize;

use crate::folder::Family;

/// Diffusers' defaults of one task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Defaults {
    /// The task, in the words of requests.
    pub task: &'static str,
    /// Number of steps.
    pub num_inference_steps: u32,
    /// Guidance scale.
    pub guidance_scale: f32,
    /// How much of an image is made anew; none for tasks without one.
    pub strength: Option<f64>,
}

impl Defaults {
    /// Diffusers' defaults. `class` is the folder's pipeline class: models without words have one
    /// task and defaults of their class.
    #[must_use]
    pub fn of(family: Family, class: &str, task: &'static str) -> Self {
        let change = task == "image-to-image";
        let fill = task == "inpainting";
        let (num_inference_steps, guidance_scale) = match family {
            Family::StableDiffusion => (50, 7.5),
            Family::LatentConsistency => (4, 8.5),
            Family::StableDiffusionXl => (50, if fill { 7.5 } else { 5.0 }),
            Family::StableDiffusion3 => (if change || fill { 50 } else { 28 }, 7.0),
            Family::Flux => (28, if change || fill { 7.0 } else { 3.5 }),
            Family::Unconditional => (unconditional(class), 1.0),
            Family::Onnx => (0, 0.0),
        };
        let strength = match (family, change, fill) {
            (Family::StableDiffusionXl, true, _) => Some(0.3),
            (Family::StableDiffusionXl, _, true) => Some(0.9999),
            (Family::StableDiffusion3 | Family::Flux, true, _)
            | (Family::StableDiffusion3 | Family::Flux, _, true) => Some(0.6),
            (_, true, _) => Some(0.8),
            // diffusers has none for latent consistency models
            (_, _, true) => Some(1.0),
            _ => None,
        };
        Self { task, num_inference_steps, guidance_scale, strength }
    }

    /// Diffusers' defaults where control images steer the picture: it has pipelines of their own for
    /// that, and these differ for Stable Diffusion XL.
    #[must_use]
    pub fn controlled(family: Family, class: &str, task: &'static str) -> Self {
        let plain = Self::of(family, class, task);
        match (family, task) {
            (Family::StableDiffusionXl, "image-to-image") => Self { strength: Some(0.8), ..plain },
            (Family::StableDiffusionXl, "inpainting") => Self { guidance_scale: 5.0, ..plain },
            _ => plain,
        }
    }

    /// How strongly each ControlNet counts.
    #[must_use]
    pub fn conditioning_scale(family: Family, task: &str) -> f64 {
        match task {
            "image-to-image" => 0.8,
            "inpainting" if family != Family::StableDiffusionXl => 0.5,
            _ => 1.0,
        }
    }
}

/// Steps of a pipeline without words.
fn unconditional(class: &str) -> u32 {
    match class.trim_start_matches("ORT").trim_start_matches("Onnx") {
        "ConsistencyModelPipeline" => 1,
        "DDIMPipeline" => 50,
        _ => 1000,
    }
}
