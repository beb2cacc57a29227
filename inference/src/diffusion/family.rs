//! What the pipelines of a family do their own way in diffusers, whatever its folders say.

use hearth_api::request::Task;

use super::components::ScalingRule;
use super::layout::Layout;
use crate::blueprint::Family;
use crate::model::Defaults;

/// A family of models that make pictures.
#[derive(Debug)]
pub struct PictureFamily {
    /// What it is called, and how its folders are read.
    pub family: Family,
    /// Whether its folders may have ControlNets, for each of its tasks.
    pub takes_controlnets: bool,
    /// Diffusers' defaults for a pipeline class and a task. They are those of the class that
    /// diffusers has for the task; a test holds them against those classes' signatures. Models
    /// without words have one task, and defaults of their class.
    pub defaults: fn(&str, Task) -> Defaults,
    /// The same where control images steer the picture: diffusers has pipelines of their own for
    /// that.
    pub controlled: fn(&str, Task) -> Defaults,
    /// How strongly each ControlNet counts if a request says nothing.
    pub conditioning_scale: fn(Task) -> f64,
    /// Whether a first ControlNet that pools guesses, for a task.
    pub(super) pooled_guesses: fn(Task) -> bool,
    /// How latents lie in memory, for the denoiser.
    pub(super) layout: Layout,
    /// The guidance scale is an input of the denoiser, and `true_cfg_scale` guides by two
    /// predictions.
    pub(super) takes_guidance_as_input: bool,
    /// It makes a picture of the nearest smaller size that it can, where others refuse.
    pub(super) rounds_sizes: bool,
    pub(super) scaling: ScalingRule,
}

impl PictureFamily {
    /// A family that does nothing else its own way.
    pub(super) const fn of(family: Family, defaults: fn(&str, Task) -> Defaults) -> Self {
        Self {
            family,
            takes_controlnets: false,
            defaults,
            controlled: defaults,
            conditioning_scale,
            pooled_guesses: |_| true,
            layout: Layout::Planes,
            takes_guidance_as_input: false,
            rounds_sizes: false,
            scaling: ScalingRule::FACTOR,
        }
    }
}

/// How strongly a ControlNet counts in most of diffusers' pipelines.
fn conditioning_scale(task: Task) -> f64 {
    match task {
        Task::ImageToImage => 0.8,
        Task::Inpainting => 0.5,
        _ => 1.0,
    }
}

/// How much of an image most of diffusers' pipelines make anew.
pub(super) fn strength(task: Task) -> Option<f64> {
    match task {
        Task::ImageToImage => Some(0.8),
        Task::Inpainting => Some(1.0),
        _ => None,
    }
}
