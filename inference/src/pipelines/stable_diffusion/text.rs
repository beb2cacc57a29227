//! Prompts to the UNet's hidden states.

use std::time::Duration;

use super::embedding;
use crate::pipelines::diffusion::Conditioner;
use crate::pipelines::parts::{ClipEncoder, Layer, Reading, warn_if_cut};
use crate::pipelines::state::Conditioning;
use crate::pipelines::{Error, Settings};
use crate::session::{Interrupt, Session};

/// The text encoder, and the width of the guidance embedding where the UNet takes one.
pub(super) struct Text {
    pub(super) encoder: ClipEncoder,
    pub(super) embedding: Option<usize>,
}

impl Conditioner for Text {
    fn condition(
        &mut self,
        settings: &Settings,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Conditioning, Error> {
        let guided = settings.guidance_scale > 1.0 && self.embedding.is_none();
        let mut prompts = vec![("prompt", &settings.prompt)];
        if guided {
            prompts.insert(0, ("negative_prompt", &settings.negative_prompt));
        }
        let reading = Reading { layer: Layer::Last, lora: &settings.request.lora };
        let (mut hidden, mut shape) = (Vec::new(), [0; 2]);
        for (field, text) in &prompts {
            let encoded = self.encoder.encode(text, reading, interrupt)?;
            warn_if_cut(warnings, field, encoded.truncated, self.encoder.max_tokens());
            shape = [encoded.tokens, encoded.width];
            hidden.extend_from_slice(&encoded.hidden);
        }
        let rescale = settings.request.guidance_rescale.unwrap_or(0.0);
        let mut conditioning = Conditioning::new(prompts.len(), settings.guidance_scale, rescale);
        conditioning.push("encoder_hidden_states", &shape, hidden);
        if let Some(width) = self.embedding {
            let values = embedding::guidance_embedding(settings.guidance_scale, width);
            conditioning.push(embedding::NAME, &[width], values);
        }
        Ok(conditioning)
    }

    fn busy(&self) -> Duration {
        self.encoder.busy()
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        vec![self.encoder.graph()]
    }
}
