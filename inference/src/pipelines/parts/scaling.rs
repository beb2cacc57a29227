//! What lies between the latents of a VAE and those of its denoiser.
//!
//! diffusers' pipelines differ in which numbers of a VAE's config they heed, by family, and two of
//! those that fill a part of a picture heed fewer than the others of their family. A picture is
//! theirs only with the same numbers.

use super::configs::VaeConfig;
use crate::folder::Family;
use crate::pipelines::Generation;

/// Factors and offsets of a family's latents, channel by channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaling {
    family: Family,
    /// From what the denoiser has to what the VAE has.
    usual: Vec<(f32, f32)>,
    /// The same by the scaling factor alone.
    bare: Vec<(f32, f32)>,
}

impl Scaling {
    pub(super) fn of(family: Family, config: &VaeConfig) -> Self {
        let factor = 1.0 / config.scaling_factor;
        let bare = vec![(factor, 0.0); config.latent_channels];
        let spread = config.latents_std.iter().zip(&config.latents_mean).next();
        let usual = match (family, spread) {
            (Family::StableDiffusionXl, Some((stds, means))) => {
                stds.iter().zip(means).map(|(std, mean)| (std * factor, *mean)).collect()
            }
            (Family::StableDiffusion3 | Family::Flux, _) => {
                vec![(factor, config.shift_factor.unwrap_or(0.0)); config.latent_channels]
            }
            _ => bare.clone(),
        };
        Self { family, usual, bare }
    }

    /// Factor and offset of each channel, from what the denoiser has to what the decoder takes.
    pub(super) fn decoding(&self, request: &Generation) -> &[(f32, f32)] {
        let fills = request.mask_image.is_some();
        let forgets = match self.family {
            Family::StableDiffusion3 => fills,
            Family::StableDiffusionXl => fills && !request.control_image.is_empty(),
            _ => false,
        };
        if forgets { &self.bare } else { &self.usual }
    }

    /// The same for what the encoder gives; it is to be turned round.
    pub(super) fn encoding(&self, request: &Generation) -> &[(f32, f32)] {
        let forgets = self.family == Family::StableDiffusionXl && request.mask_image.is_some();
        if forgets { &self.bare } else { &self.usual }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hearth_media::Image;

    use super::*;

    /// A VAE of one channel whose config sets every number.
    const CONFIG: &str = r#"{"block_out_channels": [4], "latent_channels": 1, "scaling_factor": 0.5,
        "shift_factor": 0.25, "latents_mean": [3], "latents_std": [4]}"#;
    const BARE: [(f32, f32); 1] = [(2.0, 0.0)];
    const SHIFTED: [(f32, f32); 1] = [(2.0, 0.25)];
    const SPREAD: [(f32, f32); 1] = [(8.0, 3.0)];

    fn picture() -> Arc<Image> {
        Arc::new(Image { width: 1, height: 1, rgb: vec![0; 3] })
    }

    /// What is decoded with, and what is encoded with: of nothing, of a part to fill, and of such a
    /// part where control images steer it.
    fn of(family: Family) -> [[(f32, f32); 1]; 6] {
        let scaling = Scaling::of(family, &serde_json::from_str(CONFIG).unwrap());
        let plain = Generation::default();
        let fill = Generation { mask_image: Some(picture()), ..plain.clone() };
        let steered = Generation { control_image: vec![picture()], ..fill.clone() };
        let requests = [&plain, &fill, &steered];
        let decoding = requests.map(|request| [scaling.decoding(request)[0]]);
        let encoding = requests.map(|request| [scaling.encoding(request)[0]]);
        let [a, b, c] = decoding;
        let [d, e, f] = encoding;
        [a, b, c, d, e, f]
    }

    #[test]
    fn each_family_heeds_what_its_pipelines_in_diffusers_do() {
        for family in [Family::StableDiffusion, Family::LatentConsistency] {
            assert_eq!(of(family), [BARE; 6]);
        }
        assert_eq!(of(Family::Flux), [SHIFTED; 6]);
        let three = [SHIFTED, BARE, BARE, SHIFTED, SHIFTED, SHIFTED];
        assert_eq!(of(Family::StableDiffusion3), three);
        let xl = [SPREAD, SPREAD, BARE, SPREAD, BARE, BARE];
        assert_eq!(of(Family::StableDiffusionXl), xl);
    }

    #[test]
    fn a_mean_without_a_spread_is_not_heeded() {
        let text = CONFIG.replace(r#", "latents_std": [4]"#, "");
        let config = serde_json::from_str(&text).unwrap();
        let scaling = Scaling::of(Family::StableDiffusionXl, &config);
        assert_eq!(scaling.decoding(&Generation::default()), BARE);
    }
}
