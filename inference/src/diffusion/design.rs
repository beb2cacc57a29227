//! A model that makes pictures before its sessions are opened, as a family designs it from a folder.

use std::sync::Arc;

use super::components::{Decoder, DenoiserSpec, VaeSpec};
use super::conditioning::Conditioner;
use super::facts::Facts;
use super::generator::Diffusion;
use super::layout::Layout;
use super::prepare::Preparer;
use crate::blueprint::{Draft, Reader, Sessions};
use crate::model::Error;

/// What a family's folder becomes.
pub(super) struct Design {
    pub(super) facts: Facts,
    /// What makes the denoiser's constant inputs.
    pub(super) conditioner: OpenConditioner,
    pub(super) denoiser: DenoiserSpec,
    /// None for models in pixels.
    pub(super) vae: Option<VaeSpec>,
    /// The denoiser takes a mask and what is masked beside the sample.
    pub(super) inpainting_model: bool,
}

/// Puts a conditioner together from its sessions.
pub(super) type OpenConditioner =
    Box<dyn FnOnce(&mut Sessions) -> Result<Box<dyn Conditioner>, Error> + Send>;

impl Design {
    /// The model but for its sessions.
    ///
    /// # Errors
    /// Defaults that the model can't meet.
    pub(super) fn draft(self, reader: &Reader<'_>) -> Result<Draft, Error> {
        let Self { facts, conditioner, denoiser, vae, inpainting_model } = self;
        let (description, rules) = facts.describe(reader)?;
        let warnings = rules.warnings();
        let layout: Layout = rules.layout();
        Ok(Draft {
            description,
            warnings,
            build: Box::new(move |description, sessions| {
                let digest = description.digest.as_str().into();
                let preparer = Preparer {
                    rules: Arc::new(rules),
                    digest,
                    is_shareable: denoiser.is_shareable(),
                    shares_timestep: denoiser.shares_timestep(),
                };
                let conditioner = conditioner(sessions)?;
                let denoiser = denoiser.open(sessions)?;
                let (decoder, encoder) = match vae {
                    Some(vae) => vae.open(sessions)?,
                    None => (Decoder::Pixels, None),
                };
                Ok(Box::new(Diffusion {
                    description,
                    preparer,
                    conditioner,
                    denoiser,
                    decoder,
                    encoder,
                    inpainting_model,
                    layout,
                }))
            }),
        })
    }
}
