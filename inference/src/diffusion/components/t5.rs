//! Prompts to hidden states by T5.

use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use crate::blueprint::{Reader, Sessions};
use crate::model::Error;
use crate::session::{Input, Interrupt, Session, Values};
use crate::tokenizers::{T5, Tokens};

const IDS: &str = "input_ids";
const HIDDEN: &str = "last_hidden_state";

/// A T5 encoder as its folder says it.
pub(in crate::diffusion) struct T5Spec {
    component: String,
    tokenizer: T5,
}

/// A T5 encoder with its tokenizer.
pub(in crate::diffusion) struct T5Encoder {
    tokenizer: T5,
    session: Session,
    cache: Cache<(String, usize), T5Text>,
}

/// A prompt that is read and can be encoded.
#[derive(Debug)]
pub(in crate::diffusion) enum T5Prompt {
    /// It was encoded before.
    Known(Arc<T5Text>),
    /// Text and length, and what the encoder reads.
    New { key: (String, usize), tokens: Tokens },
}

/// An encoded prompt.
#[derive(Debug)]
pub(in crate::diffusion) struct T5Text {
    /// Hidden states, [length, width].
    pub(in crate::diffusion) hidden: Vec<f32>,
    pub(in crate::diffusion) width: usize,
    /// Tokens of the prompt that didn't fit.
    pub(in crate::diffusion) truncated: usize,
}

impl T5Spec {
    /// Reads `text_encoder<suffix>` and `tokenizer<suffix>`.
    ///
    /// # Errors
    /// A tokenizer that can't be used.
    pub(in crate::diffusion) fn read(reader: &Reader<'_>, suffix: &str) -> Result<Self, Error> {
        let tokenizer = T5::load(&reader.folder().path(&format!("tokenizer{suffix}"))?)
            .map_err(|error| Error::Tokenizer(Box::new(error)))?;
        let component = format!("text_encoder{suffix}");
        let ports = reader.graph(&component);
        ports.input(IDS);
        ports.output(HIDDEN);
        ports.expect_inputs(&[IDS]);
        ports.expect_integers(&[IDS]);
        ports.expect_floats(&[HIDDEN]);
        Ok(Self { component, tokenizer })
    }

    /// The encoder with its session.
    pub(in crate::diffusion) fn open(self, sessions: &mut Sessions) -> Result<T5Encoder, Error> {
        let session = sessions.take(&self.component)?;
        Ok(T5Encoder { tokenizer: self.tokenizer, session, cache: Cache::new() })
    }
}

impl T5Encoder {
    /// The graph itself.
    pub(in crate::diffusion) fn graph(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Time spent in the session so far.
    pub(in crate::diffusion) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// Reads `text` as `length` tokens, and runs nothing: a request's prompts are all read before
    /// one of them is encoded.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a text that the tokenizer can't take.
    pub(in crate::diffusion) fn read(
        &mut self,
        text: &str,
        length: usize,
    ) -> Result<T5Prompt, Error> {
        let key = (text.to_owned(), length);
        if let Some(encoded) = self.cache.get(&key) {
            return Ok(T5Prompt::Known(encoded));
        }
        let tokens = self.tokenizer.encode(text, length);
        let tokens = tokens.map_err(|error| Error::Tokenizer(Box::new(error)))?;
        Ok(T5Prompt::New { key, tokens })
    }

    /// Encodes a prompt. Padding is encoded as well, as these models were trained without an
    /// attention mask.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::Interrupted`].
    pub(in crate::diffusion) fn encode(
        &mut self,
        prompt: T5Prompt,
        interrupt: &Interrupt,
    ) -> Result<Arc<T5Text>, Error> {
        let (key, tokens) = match prompt {
            T5Prompt::Known(encoded) => return Ok(encoded),
            T5Prompt::New { key, tokens } => (key, tokens),
        };
        // another prompt of the same request may say the same
        if let Some(encoded) = self.cache.get(&key) {
            return Ok(encoded);
        }
        let length = key.1;
        let input = Input { name: IDS, shape: &[1, length], values: Values::I64(&tokens.ids) };
        let hidden = self.session.run(&[input], HIDDEN, interrupt)?;
        let [1, count, width] = hidden.shape[..] else {
            let reason = format!("{HIDDEN} has shape {:?}, not [1, {length}, width]", hidden.shape);
            return Err(self.session.port_error(reason).into());
        };
        if count != length {
            let reason = format!("{HIDDEN} has {count} tokens for {length}");
            return Err(self.session.port_error(reason).into());
        }
        let bytes = hidden.values.len() * size_of::<f32>();
        let encoded = T5Text { hidden: hidden.values, width, truncated: tokens.truncated };
        Ok(self.cache.put(key, encoded, bytes))
    }
}
