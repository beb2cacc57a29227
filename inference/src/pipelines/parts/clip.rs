//! Prompts to hidden states by CLIP: tokenizer, text encoder, and a cache of what it made.

use std::sync::Arc;
use std::time::Duration;

use super::adapters::Adapters;
use super::cache::Cache;
use crate::folder::Folder;
use crate::pipelines::Error;
use crate::pipelines::generation::Lora;
use crate::session::{Device, Input, Interrupt, Runtime, Session, Values};
use crate::tokenizers::Clip;

const IDS: &str = "input_ids";
const LAST: &str = "last_hidden_state";
/// Outputs of the layers, the embeddings first: `hidden_states.0` to the last layer's.
const LAYERS: &str = "hidden_states.";
/// The hidden state at the end token, as Flux takes it.
pub(in crate::pipelines) const POOLED: &str = "pooler_output";
/// The same, projected (Stable Diffusion XL and 3).
pub(in crate::pipelines) const PROJECTED: &str = "text_embeds";

/// Which of the text encoder's outputs the denoiser reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipelines) enum Layer {
    /// The last layer's, normalised.
    Last,
    /// A layer's own, counted from the last (0) towards the first.
    Before(usize),
}

/// How a prompt is read.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipelines) struct Reading<'a> {
    pub(in crate::pipelines) layer: Layer,
    /// Strengths of adapters; the encoder takes those that it has.
    pub(in crate::pipelines) lora: &'a [Lora],
}

/// A CLIP text encoder with its tokenizer.
pub(in crate::pipelines) struct ClipEncoder {
    tokenizer: Clip,
    session: Session,
    /// Outputs `hidden_states.*`.
    layers: usize,
    pooled: Option<&'static str>,
    adapters: Adapters,
    cache: Cache<Key, ClipText>,
}

/// What an encoded prompt depends on.
#[derive(Debug, PartialEq)]
struct Key {
    text: String,
    layer: Layer,
    /// Of the encoder's adapters.
    scales: Vec<f32>,
}

/// An encoded prompt.
#[derive(Debug)]
pub(in crate::pipelines) struct ClipText {
    /// Hidden states, [tokens, width].
    pub(in crate::pipelines) hidden: Vec<f32>,
    /// The pooled or projected one, where the family takes it.
    pub(in crate::pipelines) pooled: Vec<f32>,
    pub(in crate::pipelines) tokens: usize,
    pub(in crate::pipelines) width: usize,
    /// Tokens of the prompt that didn't fit.
    pub(in crate::pipelines) truncated: usize,
}

impl ClipEncoder {
    /// Loads `text_encoder<suffix>` and `tokenizer<suffix>`; `pooled` names an output that the
    /// family takes besides the hidden states.
    pub(in crate::pipelines) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        suffix: &str,
        pooled: Option<&'static str>,
    ) -> Result<Self, Error> {
        let tokenizer = Clip::load(&folder.path(&format!("tokenizer{suffix}"))?)
            .map_err(|error| Error::Tokenizer(Box::new(error)))?;
        let part = format!("text_encoder{suffix}");
        let session = Session::load(runtime, &part, folder.root(), &folder.graph(&part)?, device)?;
        session.input(IDS)?;
        let adapters = Adapters::of(&session)?;
        session.expect_inputs(&[IDS].into_iter().chain(adapters.inputs()).collect::<Vec<_>>())?;
        session.expect_integers(&[IDS])?;
        session.expect_floats(&[LAST, POOLED, PROJECTED])?;
        if let Some(pooled) = pooled {
            session.output(pooled)?;
        }
        let layers = session.outputs().iter().filter(|port| port.name.starts_with(LAYERS)).count();
        Ok(Self { tokenizer, session, layers, pooled, adapters, cache: Cache::new() })
    }

    /// The output that `layer` stands for.
    ///
    /// # Errors
    /// [`Error::Session`] if the graph doesn't give it.
    pub(in crate::pipelines) fn expect(&self, layer: Layer) -> Result<String, Error> {
        let name = match layer {
            Layer::Last => LAST.to_owned(),
            Layer::Before(back) => format!("{LAYERS}{}", self.layers.saturating_sub(back + 1)),
        };
        self.session.output(&name)?;
        Ok(name)
    }

    /// Layers that can be left out beyond `layer`; the embeddings themselves are left.
    pub(in crate::pipelines) fn max_skip(&self, layer: Layer) -> u32 {
        match layer {
            Layer::Last => 0,
            Layer::Before(back) => u32::try_from(self.layers.saturating_sub(back + 1)).unwrap_or(0),
        }
    }

    /// Tokens that the encoder reads, start and end included.
    pub(in crate::pipelines) fn max_tokens(&self) -> usize {
        self.tokenizer.max_length()
    }

    /// Its LoRA adapters.
    pub(in crate::pipelines) fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// The graph itself.
    pub(in crate::pipelines) fn graph(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Time spent in the session so far.
    pub(in crate::pipelines) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// Encodes `text`.
    pub(in crate::pipelines) fn encode(
        &mut self,
        text: &str,
        Reading { layer, lora }: Reading<'_>,
        interrupt: &Interrupt,
    ) -> Result<Arc<ClipText>, Error> {
        let key = Key { text: text.to_owned(), layer, scales: self.adapters.scales(lora) };
        if let Some(encoded) = self.cache.get(&key) {
            return Ok(encoded);
        }
        let output = self.expect(layer)?;
        let tokens = self.tokenizer.encode(text);
        let ids =
            Input { name: IDS, shape: &[1, tokens.ids.len()], values: Values::I64(&tokens.ids) };
        let inputs: Vec<_> = [ids].into_iter().chain(self.adapters.given(&key.scales)).collect();
        let (hidden, pooled) = match self.pooled {
            None => (self.session.run(&inputs, &output, interrupt)?, Vec::new()),
            Some(name) => {
                let [hidden, pooled] =
                    self.session.run_for(&inputs, [output.as_str(), name], interrupt)?;
                (hidden, pooled.values)
            }
        };
        let [_, count, width] = hidden.shape[..] else {
            let reason =
                format!("{output} has shape {:?}, not [batch, tokens, width]", hidden.shape);
            return Err(self.session.port_error(reason).into());
        };
        let bytes = (hidden.values.len() + pooled.len()) * size_of::<f32>();
        let encoded = ClipText {
            hidden: hidden.values,
            pooled,
            tokens: count,
            width,
            truncated: tokens.truncated,
        };
        Ok(self.cache.put(key, encoded, bytes))
    }
}

/// Says that a prompt was cut, if it was.
pub(in crate::pipelines) fn warn_if_cut(
    warnings: &mut Vec<String>,
    field: &str,
    truncated: usize,
    max: usize,
) {
    if truncated > 0 {
        warnings.push(format!(
            "{field} is cut: its last {truncated} tokens are left out, as the model reads {max}"
        ));
    }
}
