//! What one picture is asked to be.

use crate::schedulers::SchedulerSpec;

/// A request for one picture, before defaults. The seed is given apart, as pictures of one
/// request differ in it alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Generation {
    /// What to show.
    pub prompt: String,
    /// What to keep away from; empty for nothing in particular. Used with guidance above 1.
    pub negative_prompt: String,
    /// Pixels in a row.
    pub width: Option<u32>,
    /// Rows.
    pub height: Option<u32>,
    /// Number of steps.
    pub num_inference_steps: Option<u32>,
    /// Guidance scale; 1 and below leaves guidance out.
    pub guidance_scale: Option<f32>,
    /// The scheduler, instead of the folder's own.
    pub scheduler: Option<SchedulerSpec>,
    /// DDIM's eta, 0 to 1; other schedulers ignore it.
    pub eta: Option<f32>,
    /// Number of the text encoder's last layers to leave out.
    pub clip_skip: Option<u32>,
}

/// A [`Generation`] that was checked, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What to show.
    pub prompt: String,
    /// What to keep away from.
    pub negative_prompt: String,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Number of steps.
    pub num_inference_steps: u32,
    /// Guidance scale.
    pub guidance_scale: f32,
    /// The scheduler's name: as the caller chose it, or the folder's class.
    pub scheduler: String,
    /// DDIM's eta.
    pub eta: f32,
}

/// A field of a request that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value}: {message}")]
pub struct Invalid {
    /// The field, as it is called in requests.
    pub field: &'static str,
    /// Its value, shortened where it is long.
    pub value: String,
    /// What is wrong with it, and the remedy.
    pub message: String,
}
