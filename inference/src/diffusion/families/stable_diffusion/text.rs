//! Prompts to the UNet's hidden states.

use std::time::Duration;

use super::embedding;
use crate::diffusion::components::{ClipEncoder, Layer, Reading, Syntax};
use crate::diffusion::conditioning::{Conditioner, Conditioning};
use crate::diffusion::settings::{Settings, single};
use crate::model::Error;
use crate::session::{Interrupt, Session};

/// The text encoder, and the width of the guidance embedding where the UNet takes one.
pub(super) struct Text {
    pub(super) encoder: ClipEncoder,
    pub(super) embedding: Option<usize>,
    /// What can be done about a prompt that is cut.
    pub(super) remedy: &'static str,
}

impl Conditioner for Text {
    fn condition(
        &mut self,
        settings: &Settings,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Conditioning, Error> {
        let guided = settings.guidance_scale > 1.0 && self.embedding.is_none();
        let (request, syntax) = (&settings.request, Syntax::of(&settings.request));
        let layer = Layer::Normalised(request.clip_skip.unwrap_or(0) as usize);
        let reading = Reading { layer, syntax, lora: &request.lora };
        let mut prompts = vec![("prompt", &settings.request.prompt, reading)];
        if guided {
            // diffusers leaves no layer out of the negative prompt
            let reading = Reading { layer: Layer::Last, ..reading };
            prompts.insert(0, ("negative_prompt", &settings.negative_prompt, reading));
        }
        let mut read = Vec::with_capacity(prompts.len());
        for (field, text, reading) in prompts {
            read.push((field, self.encoder.read(field, text, reading)?, reading));
        }
        let mut encoded = Vec::with_capacity(read.len());
        for (field, prompt, reading) in read {
            let text = self.encoder.encode(prompt, interrupt)?;
            if let Some(cut) = &text.cut {
                cut.warn(warnings, field, self.encoder.max_tokens(), self.remedy);
            }
            encoded.push((text, reading));
        }
        let chunks = encoded.iter().map(|(text, _)| text.chunks).max().unwrap_or(1);
        let (mut hidden, mut shape) = (Vec::new(), [0; 2]);
        for (text, reading) in &encoded {
            self.encoder.append(&mut hidden, text, chunks, *reading, interrupt)?;
            shape = [chunks * text.tokens, text.width];
        }
        let rescale = request.guidance_rescale.map_or(0.0, single);
        let mut conditioning = Conditioning::new(encoded.len(), settings.guidance_scale, rescale);
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
