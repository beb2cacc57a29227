//! What a family's denoiser calls its inputs and outputs.

use super::memory::InputNames;

/// The prompt.
pub(in crate::diffusion) const HIDDEN: &str = "encoder_hidden_states";

/// What a family's denoiser calls its inputs and outputs.
#[derive(Debug, Clone, Copy)]
pub(in crate::diffusion) struct Ports {
    /// The folder's component, such as `unet`.
    pub(in crate::diffusion) component: &'static str,
    pub(in crate::diffusion) sample: &'static str,
    pub(in crate::diffusion) timestep: &'static str,
    pub(in crate::diffusion) output: &'static str,
    /// Inputs of every graph of the family, which the conditioning fills.
    pub(in crate::diffusion) required: &'static [&'static str],
    /// Inputs that a graph may have besides.
    pub(in crate::diffusion) optional: &'static [&'static str],
    /// Those of them that all copies share; in older exports they have an axis of copies too.
    pub(in crate::diffusion) places: &'static [&'static str],
    /// What the scheduler's timesteps are divided by (Flux: 1000).
    pub(in crate::diffusion) time_scale: f32,
}

impl Ports {
    /// Diffusers' UNets.
    pub(in crate::diffusion) const UNET: Self = Self {
        component: "unet",
        sample: "sample",
        timestep: "timestep",
        output: "out_sample",
        required: &[HIDDEN],
        optional: &["timestep_cond"],
        places: &[],
        time_scale: 1.0,
    };
    /// Diffusers' transformers.
    pub(in crate::diffusion) const TRANSFORMER: Self = Self {
        component: "transformer",
        sample: "hidden_states",
        timestep: "timestep",
        output: "out_hidden_states",
        required: &[HIDDEN, "pooled_projections"],
        optional: &[],
        places: &[],
        time_scale: 1.0,
    };

    pub(super) fn takes(self) -> InputNames<'static> {
        InputNames { sample: self.sample, timestep: self.timestep, constants: None, beside: true }
    }
}
