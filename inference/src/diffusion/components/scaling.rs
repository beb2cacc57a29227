//! What lies between the latents of a VAE and those of its denoiser.
//!
//! diffusers' pipelines differ in which numbers of a VAE's config they heed, by family, and two of
//! those that fill a part of a picture heed fewer than the others of their family. A picture is
//! theirs only with the same numbers.

use super::configs::VaeConfig;
use crate::diffusion::settings::Settings;

/// Which numbers of a VAE's config a family's pipelines heed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::diffusion) struct ScalingRule {
    pub(in crate::diffusion) numbers: Numbers,
    /// Where a part of a picture is filled, the decoder's latents have the scaling factor alone.
    pub(in crate::diffusion) decodes_fills_bare: Fills,
    /// The same of the encoder's.
    pub(in crate::diffusion) encodes_fills_bare: Fills,
}

/// The numbers that are heeded beside the scaling factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::diffusion) enum Numbers {
    /// None.
    Factor,
    /// The shift.
    Shift,
    /// A mean and a spread for each channel, where both are given.
    Spread,
}

/// Pictures of which a part is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::diffusion) enum Fills {
    /// None of them.
    None,
    /// Those that control images steer.
    Steered,
    /// All.
    All,
}

impl Fills {
    fn include(self, settings: &Settings) -> bool {
        settings.fills
            && match self {
                Self::None => false,
                Self::Steered => settings.controls > 0,
                Self::All => true,
            }
    }
}

impl ScalingRule {
    /// The scaling factor alone.
    pub(in crate::diffusion) const FACTOR: Self = Self {
        numbers: Numbers::Factor,
        decodes_fills_bare: Fills::None,
        encodes_fills_bare: Fills::None,
    };
}

/// Factors and offsets of a model's latents, channel by channel.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::diffusion) struct Scaling {
    rule: ScalingRule,
    /// From what the denoiser has to what the VAE has.
    usual: Vec<(f32, f32)>,
    /// The same by the scaling factor alone.
    bare: Vec<(f32, f32)>,
}

impl Scaling {
    pub(in crate::diffusion) fn of(rule: ScalingRule, config: &VaeConfig) -> Self {
        let factor = 1.0 / config.scaling_factor();
        let bare = vec![(factor, 0.0); config.latent_channels];
        let spread = config.latents_std.iter().zip(&config.latents_mean).next();
        let usual = match (rule.numbers, spread) {
            (Numbers::Spread, Some((stds, means))) => {
                stds.iter().zip(means).map(|(std, mean)| (std * factor, *mean)).collect()
            }
            (Numbers::Shift, _) => {
                vec![(factor, config.shift_factor.unwrap_or(0.0)); config.latent_channels]
            }
            (Numbers::Spread, None) | (Numbers::Factor, _) => bare.clone(),
        };
        Self { rule, usual, bare }
    }

    /// Factor and offset of each channel, from what the denoiser has to what the decoder takes.
    pub(in crate::diffusion) fn decoding(&self, settings: &Settings) -> &[(f32, f32)] {
        let forgets = self.rule.decodes_fills_bare.include(settings);
        if forgets { &self.bare } else { &self.usual }
    }

    /// The same for what the encoder gives; it is to be turned round.
    pub(in crate::diffusion) fn encoding(&self, settings: &Settings) -> &[(f32, f32)] {
        let forgets = self.rule.encodes_fills_bare.include(settings);
        if forgets { &self.bare } else { &self.usual }
    }
}
