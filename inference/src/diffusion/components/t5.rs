//! Prompts to hidden states by T5.

use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use super::configs::bad;
use super::numbers;
use crate::blueprint::{Axis, Reader, Sessions};
use crate::model::{Error, SequenceLength};
use crate::session::{Input, Interrupt, Session, Values};
use crate::tokenizers::{T5, Tokens};

const IDS: &str = "input_ids";
/// All of a text counts, padding too, where a graph asks which.
const MASK: &str = "attention_mask";
const HIDDEN: &str = "last_hidden_state";

/// How many tokens T5 reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::diffusion) struct TextLength {
    /// If the request says nothing, and at most.
    pub(in crate::diffusion) range: SequenceLength,
    /// It is the only number that the graphs take.
    pub(in crate::diffusion) built_in: bool,
}

impl TextLength {
    /// The family's usual length, or the one that is `built_in` into some of the graphs, each with
    /// what its length is of.
    ///
    /// # Errors
    /// [`Error::Model`] where two of them differ, or one is of no use.
    pub(in crate::diffusion) fn resolve(
        usual: SequenceLength,
        built_in: &[(&'static str, Option<usize>)],
    ) -> Result<Self, Error> {
        let mut known = built_in.iter().filter_map(|(place, length)| Some((*place, (*length)?)));
        let Some((first, length)) = known.next() else {
            return Ok(Self { range: usual, built_in: false });
        };
        if let Some((place, other)) = known.find(|(_, other)| *other != length) {
            let reason = format!(
                "it has {other} of T5's tokens built in, and {first} has {length}; export them with \
                 open axes"
            );
            return Err(bad(place, reason));
        }
        let fits = u32::try_from(length).ok().filter(|length| (1..=usual.max).contains(length));
        let length = fits.ok_or_else(|| {
            let reason = format!(
                "it has {length} of T5's tokens built in, where 1 to {} are read; export it with open \
                 axes",
                usual.max
            );
            bad(first, reason)
        })?;
        Ok(Self { range: SequenceLength { default: length, max: length }, built_in: true })
    }
}

/// A T5 encoder as its folder says it.
pub(in crate::diffusion) struct T5Spec {
    component: String,
    tokenizer: T5,
    takes_mask: bool,
    /// Tokens that the graph takes, if their number is built in.
    pub(in crate::diffusion) built_in_length: Option<usize>,
    /// Width of what it gives, where the graph says it.
    pub(in crate::diffusion) width: Option<usize>,
}

/// A T5 encoder with its tokenizer.
pub(in crate::diffusion) struct T5Encoder {
    tokenizer: T5,
    takes_mask: bool,
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
        let ids = ports.input(IDS);
        let hidden = ports.output(HIDDEN);
        ports.expect_inputs(&[IDS, MASK]);
        ports.expect_integers(&[IDS]);
        ports.expect_floats(&[HIDDEN]);
        for name in [IDS, MASK] {
            ports.expect_shape(name, &[Axis::Batch(&[1]), Axis::Any]);
        }
        let built_in_length = ids.and_then(|port| port.dims.get(1).copied().flatten());
        let width = hidden.and_then(|port| port.dims.last().copied().flatten());
        let takes_mask = ports.inputs().iter().any(|port| port.name == MASK);
        Ok(Self { component, tokenizer, takes_mask, built_in_length, width })
    }

    /// The encoder with its session.
    pub(in crate::diffusion) fn open(self, sessions: &mut Sessions) -> Result<T5Encoder, Error> {
        let session = sessions.take(&self.component)?;
        let Self { tokenizer, takes_mask, .. } = self;
        Ok(T5Encoder { tokenizer, takes_mask, session, cache: Cache::new() })
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
        let (shape, all) = ([1, length], vec![1; length]);
        let input = |name, values| Input { name, shape: &shape, values: Values::I64(values) };
        let mut inputs = vec![input(IDS, &tokens.ids)];
        if self.takes_mask {
            inputs.push(input(MASK, &all));
        }
        let hidden = self.session.run(&inputs, HIDDEN, interrupt)?;
        let [1, count, width] = hidden.shape[..] else {
            let reason = format!("{HIDDEN} has shape {:?}, not [1, {length}, width]", hidden.shape);
            return Err(self.session.port_error(reason).into());
        };
        if count != length {
            let reason = format!("{HIDDEN} has {count} tokens for {length}");
            return Err(self.session.port_error(reason).into());
        }
        numbers::check(self.session.name().to_owned(), &hidden.values)?;
        let bytes = hidden.values.len() * size_of::<f32>();
        let encoded = T5Text { hidden: hidden.values, width, truncated: tokens.truncated };
        Ok(self.cache.put(key, encoded, bytes))
    }
}
