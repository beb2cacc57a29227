//! The guidance scale as an input of the UNet, for models distilled from guided ones.

use crate::diffusion::components::{self, DenoiserSpec, UnetConfig};
use crate::model::Error;

/// The input's name.
pub(in crate::diffusion) const NAME: &str = "timestep_cond";

const UNET: &str = "unet/config.json";

/// Width of the embedding that the UNet asks for; none where guidance takes two predictions.
pub(in crate::diffusion) fn width(
    denoiser: &DenoiserSpec,
    unet: &UnetConfig,
) -> Result<Option<usize>, Error> {
    match (denoiser.input(NAME), unet.time_cond_proj_dim) {
        (Some(port), config) => {
            let built_in = port.dims.get(1).copied().flatten();
            let width = config.or(built_in).ok_or_else(|| {
                let reason = "time_cond_proj_dim is missing, and the graph leaves it open";
                components::bad(UNET, reason.to_owned())
            })?;
            components::check_count(UNET, "time_cond_proj_dim", width, components::MAX_WIDTH)?;
            Ok(Some(width))
        }
        (None, None) => Ok(None),
        (None, Some(width)) => {
            let reason = format!(
                "time_cond_proj_dim is {width}, but unet/model.onnx has no input {NAME}; export it \
                 again"
            );
            Err(components::bad(UNET, reason))
        }
    }
}

/// Sines and cosines of the guidance scale less one, times a thousand (Luo et al. 2023, section
/// 4.3; Kingma et al., Variational Diffusion Models, 2021).
pub(in crate::diffusion) fn guidance_embedding(guidance_scale: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let weight = (guidance_scale - 1.0) * 1000.0;
    let slope = 10_000_f64.ln() / half.saturating_sub(1).max(1) as f64;
    let angle = |index: usize| weight * (index as f32 * -(slope as f32)).exp();
    let mut embedding: Vec<_> = (0..half).map(|index| angle(index).sin()).collect();
    embedding.extend((0..half).map(|index| angle(index).cos()));
    embedding.resize(width, 0.0);
    embedding
}

#[cfg(test)]
mod tests {
    use super::guidance_embedding;

    #[test]
    fn no_guidance_is_the_angle_zero() {
        assert_eq!(guidance_embedding(1.0, 5), [0.0, 0.0, 1.0, 1.0, 0.0]);
    }
}
