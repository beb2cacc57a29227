//! Prompts to hidden states by T5.

use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use crate::folder::Folder;
use crate::pipelines::Error;
use crate::session::{Device, Input, Interrupt, Runtime, Session, Values};
use crate::tokenizers::{Encoded, T5};

const IDS: &str = "input_ids";
const HIDDEN: &str = "last_hidden_state";

/// A T5 encoder with its tokenizer.
pub(in crate::pipelines) struct T5Encoder {
    tokenizer: T5,
    session: Session,
    cache: Cache<(String, usize), T5Text>,
}

/// A prompt that is read and can be encoded.
#[derive(Debug)]
pub(in crate::pipelines) enum T5Prompt {
    /// It was encoded before.
    Known(Arc<T5Text>),
    /// Text and length, and what the encoder reads.
    New { key: (String, usize), tokens: Encoded },
}

/// An encoded prompt.
#[derive(Debug)]
pub(in crate::pipelines) struct T5Text {
    /// Hidden states, [length, width].
    pub(in crate::pipelines) hidden: Vec<f32>,
    pub(in crate::pipelines) width: usize,
    /// Tokens of the prompt that didn't fit.
    pub(in crate::pipelines) truncated: usize,
}

impl T5Encoder {
    /// Loads `text_encoder<suffix>` and `tokenizer<suffix>`.
    pub(in crate::pipelines) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        suffix: &str,
    ) -> Result<Self, Error> {
        let tokenizer = T5::load(&folder.path(&format!("tokenizer{suffix}"))?)
            .map_err(|error| Error::Tokenizer(Box::new(error)))?;
        let part = format!("text_encoder{suffix}");
        let session = Session::load(runtime, &part, folder.root(), &folder.graph(&part)?, device)?;
        session.input(IDS)?;
        session.output(HIDDEN)?;
        session.expect_inputs(&[IDS])?;
        session.expect_integers(&[IDS])?;
        session.expect_floats(&[HIDDEN])?;
        Ok(Self { tokenizer, session, cache: Cache::new() })
    }

    /// The graph itself.
    pub(in crate::pipelines) fn graph(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Time spent in the session so far.
    pub(in crate::pipelines) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// Reads `text` as `length` tokens, and runs nothing: a request's prompts are all read before
    /// one of them is encoded.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a text that the tokenizer can't take.
    pub(in crate::pipelines) fn read(
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
    pub(in crate::pipelines) fn encode(
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
