//! Prompts to hidden states: tokenizer, text encoder, and a cache of what it made.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::folder::Folder;
use crate::pipelines::state::Conditioning;
use crate::pipelines::{Error, Settings};
use crate::session::{Device, Input, Interrupt, Output, Runtime, Session, Values};
use crate::tokenizers::Clip;

const PART: &str = "text_encoder";
const IDS: &str = "input_ids";
/// Hidden states of the last layer, as the UNet was trained with.
const HIDDEN: &str = "last_hidden_state";
/// Prompts remembered. One takes 240 kB for Stable Diffusion 1.5.
const CACHED: usize = 32;

/// The text encoder with its tokenizer.
pub(super) struct TextEncoder {
    tokenizer: Clip,
    session: Session,
    /// Encoded prompts, the most recently used first.
    cache: VecDeque<(String, Arc<Encoded>)>,
}

struct Encoded {
    /// Hidden states, [1, tokens, width].
    hidden: Output,
    /// Tokens of the prompt that didn't fit.
    truncated: usize,
}

impl TextEncoder {
    pub(super) fn load(runtime: &Runtime, folder: &Folder, device: Device) -> Result<Self, Error> {
        let tokenizer = Clip::load(&folder.path("tokenizer")?)
            .map_err(|error| Error::Tokenizer(Box::new(error)))?;
        let session = Session::load(runtime, PART, folder.root(), &folder.graph(PART)?, device)?;
        session.input(IDS)?;
        session.output(HIDDEN)?;
        session.expect_inputs(&[IDS])?;
        Ok(Self { tokenizer, session, cache: VecDeque::with_capacity(CACHED) })
    }

    /// Tokens that the encoder reads, start and end included.
    pub(super) fn max_tokens(&self) -> usize {
        self.tokenizer.max_length()
    }

    /// Time spent in the session so far.
    pub(super) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// Encodes the prompts: with guidance the negative one first, then the prompt.
    pub(super) fn condition(
        &mut self,
        settings: &Settings,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Conditioning, Error> {
        let mut fields = vec![("prompt", &settings.prompt)];
        if settings.guidance_scale > 1.0 {
            fields.insert(0, ("negative_prompt", &settings.negative_prompt));
        }
        let mut conditioning = Conditioning { hidden: Vec::new(), tokens: 0, width: 0 };
        for (field, text) in fields {
            let encoded = self.encode(text, interrupt)?;
            if encoded.truncated > 0 {
                warnings.push(format!(
                    "{field} is cut: its last {} tokens are left out, as the model reads {}",
                    encoded.truncated,
                    self.max_tokens(),
                ));
            }
            let [_, tokens, width] = encoded.hidden.shape[..] else {
                let shape = &encoded.hidden.shape;
                let reason = format!("{HIDDEN} has shape {shape:?}, not [batch, tokens, width]");
                return Err(self.session.port_error(reason).into());
            };
            (conditioning.tokens, conditioning.width) = (tokens, width);
            conditioning.hidden.extend_from_slice(&encoded.hidden.values);
        }
        Ok(conditioning)
    }

    fn encode(&mut self, text: &str, interrupt: &Interrupt) -> Result<Arc<Encoded>, Error> {
        if let Some(at) = self.cache.iter().position(|(key, _)| key == text)
            && let Some(entry) = self.cache.remove(at)
        {
            let encoded = Arc::clone(&entry.1);
            self.cache.push_front(entry);
            return Ok(encoded);
        }
        let tokens = self.tokenizer.encode(text);
        let input =
            Input { name: IDS, shape: &[1, tokens.ids.len()], values: Values::I64(&tokens.ids) };
        let hidden = self.session.run(&[input], HIDDEN, interrupt)?;
        let encoded = Arc::new(Encoded { hidden, truncated: tokens.truncated });
        self.cache.truncate(CACHED - 1);
        self.cache.push_front((text.to_owned(), Arc::clone(&encoded)));
        Ok(encoded)
    }
}
