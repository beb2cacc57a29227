//! A request that was checked, with every default filled in.

use std::sync::Arc;

use hearth_api::GenerationRequest;

use crate::schedulers::SchedulerSpec;

/// What a picture is made with.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// The request itself: what has no default is read there.
    pub(super) request: Arc<GenerationRequest>,
    pub(super) negative_prompt: String,
    /// Pixels in a row.
    pub(super) width: u32,
    /// Rows.
    pub(super) height: u32,
    pub(super) num_inference_steps: u32,
    pub(super) guidance_scale: f32,
    /// The scheduler's name: as the caller chose it, or the folder's class.
    pub(super) scheduler: String,
    /// The scheduler that the caller chose.
    pub(super) spec: Option<SchedulerSpec>,
    /// DDIM's eta.
    pub(super) eta: f32,
    /// How much of the request's image is made anew; none without one.
    pub(super) strength: Option<f64>,
    /// Whether there is a picture to begin with, or what another model has made of one so far.
    pub(super) from_picture: bool,
    /// Whether a part of a picture is filled.
    pub(super) fills: bool,
    /// How many control images there are.
    pub(super) controls: usize,
    /// What comes of it are latents, and no picture.
    pub(super) ends_in_latents: bool,
}

impl Settings {
    /// The request with its defaults filled in: one that makes the same picture again.
    pub(super) fn resolved(&self) -> GenerationRequest {
        let own = f64::from(self.guidance_scale);
        GenerationRequest {
            width: Some(self.width),
            height: Some(self.height),
            num_inference_steps: Some(self.num_inference_steps),
            // Models without guidance know no scale.
            guidance_scale: self.request.guidance_scale.or(Some(own).filter(|own| *own != 1.0)),
            scheduler: Some(self.scheduler.clone()),
            strength: self.strength,
            ..(*self.request).clone()
        }
    }
}

/// A number of a request as graphs take it.
pub(super) fn single(value: f64) -> f32 {
    value as f32
}
