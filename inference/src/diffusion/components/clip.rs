//! Prompts to hidden states by CLIP: tokenizer, text encoder, and a cache of what it made.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::request::Lora;
use serde::Deserialize;

use super::adapters::Adapters;
use super::cache::Cache;
use super::numbers;
use super::prompt::{self, Chunk, Cut, Prompt, Syntax};
use crate::blueprint::folder::Folder;
use crate::blueprint::{Axis, Reader, Sessions};
use crate::model::Error;
use crate::session::{Input, Interrupt, Output, Port, Session, Values};
use crate::tokenizers::Clip;

const IDS: &str = "input_ids";
/// Which of the tokens are the prompt's, where a graph asks for it.
const MASK: &str = "attention_mask";
const LAST: &str = "last_hidden_state";
/// Outputs of the layers, the embeddings first: `hidden_states.0` to the last layer's.
const LAYERS: &str = "hidden_states.";
/// The same but for the last, each normalised as the last is (`tools/export` adds them).
const NORMALISED: &str = "final_layer_norm.";
/// The hidden state at the end token, as Flux takes it.
pub(in crate::diffusion) const POOLED: &str = "pooler_output";
/// The same, projected (Stable Diffusion XL and 3).
pub(in crate::diffusion) const PROJECTED: &str = "text_embeds";

/// Which of the text encoder's outputs the denoiser reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::diffusion) enum Layer {
    /// The last layer's, normalised.
    Last,
    /// A layer's own, counted from the last (0) towards the first.
    Before(usize),
    /// A layer's, counted likewise, normalised as the last is.
    Normalised(usize),
}

/// How a prompt is read.
#[derive(Debug, Clone, Copy)]
pub(in crate::diffusion) struct Reading<'a> {
    pub(in crate::diffusion) layer: Layer,
    pub(in crate::diffusion) syntax: Syntax,
    /// Strengths of adapters; the encoder takes those that it has.
    pub(in crate::diffusion) lora: &'a [Lora],
}

/// A CLIP text encoder as its folder says it.
pub(in crate::diffusion) struct ClipSpec {
    component: String,
    tokenizer: Clip,
    /// The graph's outputs.
    outputs: Vec<String>,
    pooled: Option<&'static str>,
    adapters: Adapters,
    /// The mask that the graph takes; none if it takes none.
    mask: Option<Mask>,
    /// The graph's outputs, with their lengths where those are known.
    widths: Vec<(String, Option<usize>)>,
}

/// What a graph's attention mask says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mask {
    /// All tokens count, padding too: so do diffusers' pipelines where nothing else is said.
    All,
    /// The prompt's own, from its start to its end.
    Prompt,
}

/// What of a text encoder's config counts.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    use_attention_mask: bool,
}

/// A CLIP text encoder with its tokenizer.
pub(in crate::diffusion) struct ClipEncoder {
    spec: ClipSpec,
    session: Session,
    cache: Cache<Key, ClipText>,
}

/// What an encoded prompt depends on.
#[derive(Debug, PartialEq)]
pub(in crate::diffusion) struct Key {
    text: String,
    layer: Layer,
    syntax: Syntax,
    /// Of the encoder's adapters.
    scales: Vec<f32>,
}

/// A prompt that is read and can be encoded.
#[derive(Debug)]
pub(in crate::diffusion) enum ClipPrompt {
    /// It was encoded before.
    Known(Arc<ClipText>),
    /// What the encoder reads, and its output that is asked for.
    New { key: Key, prompt: Prompt, output: String },
}

/// An encoded prompt.
#[derive(Debug)]
pub(in crate::diffusion) struct ClipText {
    /// Hidden states, [chunks * tokens, width].
    pub(in crate::diffusion) hidden: Vec<f32>,
    /// The first chunk's pooled or projected one, where the family takes it.
    pub(in crate::diffusion) pooled: Vec<f32>,
    pub(in crate::diffusion) chunks: usize,
    /// Of a chunk.
    pub(in crate::diffusion) tokens: usize,
    pub(in crate::diffusion) width: usize,
    /// What of the prompt didn't fit.
    pub(in crate::diffusion) cut: Option<Cut>,
}

impl ClipSpec {
    /// Reads `text_encoder<suffix>` and `tokenizer<suffix>`; `pooled` names an output that the
    /// family takes besides the hidden states.
    ///
    /// # Errors
    /// A tokenizer that can't be used.
    pub(in crate::diffusion) fn read(
        reader: &Reader<'_>,
        suffix: &str,
        pooled: Option<&'static str>,
    ) -> Result<Self, Error> {
        let tokenizer = Clip::load(&reader.folder().path(&format!("tokenizer{suffix}"))?)
            .map_err(|error| Error::Tokenizer(Box::new(error)))?;
        let component = format!("text_encoder{suffix}");
        let ports = reader.graph(&component);
        ports.input(IDS);
        let adapters = Adapters::read(&ports);
        let known: Vec<_> = [IDS, MASK].into_iter().chain(adapters.inputs()).collect();
        ports.expect_inputs(&known);
        ports.expect_integers(&[IDS]);
        for name in [IDS, MASK] {
            let tokens = Axis::Length(tokenizer.max_length());
            ports.expect_shape(name, &[Axis::Batch(&[1]), tokens]);
        }
        ports.expect_floats(&[LAST, POOLED, PROJECTED]);
        if let Some(pooled) = pooled {
            ports.output(pooled);
        }
        let outputs = ports.outputs().iter().map(|port| port.name.clone()).collect();
        let width = |port: &Port| (port.name.clone(), port.dims.last().copied().flatten());
        let widths = ports.outputs().iter().map(width).collect();
        let mask = ports.inputs().iter().any(|port| port.name == MASK).then_some(Mask::All);
        Ok(Self { component, tokenizer, outputs, pooled, adapters, mask, widths })
    }

    /// The same as a pipeline has it that heeds `use_attention_mask` in the encoder's config.
    ///
    /// # Errors
    /// A config that can't be read.
    pub(in crate::diffusion) fn heeding_mask(self, folder: &Folder) -> Result<Self, Error> {
        let file = format!("{}/config.json", self.component);
        let is_there = self.mask.is_some() && folder.path(&file).is_ok();
        let config: Config = if is_there { folder.json(&file)? } else { Config::default() };
        let mask = if config.use_attention_mask { Some(Mask::Prompt) } else { self.mask };
        Ok(Self { mask, ..self })
    }

    /// Width of what `layer` gives, where the graph says it.
    pub(in crate::diffusion) fn width(&self, layer: Layer) -> Option<usize> {
        self.width_of(&self.output(layer))
    }

    /// Width of what the graph pools, where it says it.
    pub(in crate::diffusion) fn pooled_width(&self) -> Option<usize> {
        self.width_of(self.pooled?)
    }

    fn width_of(&self, output: &str) -> Option<usize> {
        self.widths.iter().find(|(name, _)| name == output)?.1
    }

    /// Notes it where the graph doesn't give `layer`.
    pub(in crate::diffusion) fn expect(&self, reader: &Reader<'_>, layer: Layer) {
        reader.ports(&self.component).output(&self.output(layer));
    }

    /// The output that `layer` stands for.
    fn output(&self, layer: Layer) -> String {
        match layer {
            Layer::Last | Layer::Normalised(0) => LAST.to_owned(),
            Layer::Before(back) => {
                format!("{LAYERS}{}", self.count(LAYERS).saturating_sub(back + 1))
            }
            Layer::Normalised(back) => {
                format!("{NORMALISED}{}", self.count(NORMALISED).saturating_sub(back))
            }
        }
    }

    /// Outputs whose names begin so.
    fn count(&self, prefix: &str) -> usize {
        self.outputs.iter().filter(|name| name.starts_with(prefix)).count()
    }

    /// Layers that can be left out beyond `layer`; the embeddings themselves are left.
    pub(in crate::diffusion) fn max_skip(&self, layer: Layer) -> u32 {
        let left = match layer {
            Layer::Last => 0,
            Layer::Before(back) => self.count(LAYERS).saturating_sub(back + 1),
            Layer::Normalised(back) => self.count(NORMALISED).saturating_sub(back),
        };
        u32::try_from(left).unwrap_or(0)
    }

    /// Tokens that the encoder reads, start and end included.
    pub(in crate::diffusion) fn max_tokens(&self) -> usize {
        self.tokenizer.max_length()
    }

    /// Its LoRA adapters.
    pub(in crate::diffusion) fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// The encoder with its session.
    pub(in crate::diffusion) fn open(self, sessions: &mut Sessions) -> Result<ClipEncoder, Error> {
        let session = sessions.take(&self.component)?;
        Ok(ClipEncoder { spec: self, session, cache: Cache::new() })
    }
}

impl ClipEncoder {
    /// Tokens that the encoder reads, start and end included.
    pub(in crate::diffusion) fn max_tokens(&self) -> usize {
        self.spec.max_tokens()
    }

    /// The graph itself.
    pub(in crate::diffusion) fn graph(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Time spent in the session so far.
    pub(in crate::diffusion) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// Reads `text`, which came in `field`, and runs nothing: a request's prompts are all read
    /// before one of them is encoded.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that can't be read so, [`Error::Session`] for a layer that the
    /// graph doesn't give.
    pub(in crate::diffusion) fn read(
        &mut self,
        field: &'static str,
        text: &str,
        Reading { layer, syntax, lora }: Reading<'_>,
    ) -> Result<ClipPrompt, Error> {
        let scales = self.spec.adapters.scales(lora);
        let key = Key { text: text.to_owned(), layer, syntax, scales };
        if let Some(encoded) = self.cache.get(&key) {
            return Ok(ClipPrompt::Known(encoded));
        }
        let prompt = prompt::read(&self.spec.tokenizer, field, text, syntax)?;
        let output = self.spec.output(layer);
        self.session.output(&output)?;
        Ok(ClipPrompt::New { key, prompt, output })
    }

    /// Encodes a prompt. Each chunk is a run of its own, so that what comes of it doesn't depend on
    /// the others.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::Interrupted`].
    pub(in crate::diffusion) fn encode(
        &mut self,
        prompt: ClipPrompt,
        interrupt: &Interrupt,
    ) -> Result<Arc<ClipText>, Error> {
        let (key, prompt, output) = match prompt {
            ClipPrompt::Known(encoded) => return Ok(encoded),
            ClipPrompt::New { key, prompt, output } => (key, prompt, output),
        };
        // another prompt of the same request may say the same
        if let Some(encoded) = self.cache.get(&key) {
            return Ok(encoded);
        }
        let mut encoded = ClipText {
            hidden: Vec::new(),
            pooled: Vec::new(),
            chunks: prompt.chunks.len(),
            tokens: 0,
            width: 0,
            cut: prompt.cut,
        };
        for (index, chunk) in prompt.chunks.iter().enumerate() {
            let (mut hidden, pooled) = self.run(chunk, &key.scales, &output, interrupt)?;
            let [1, tokens, width] = hidden.shape[..] else {
                let reason =
                    format!("{output} has shape {:?}, not [batch, tokens, width]", hidden.shape);
                return Err(self.session.port_error(reason).into());
            };
            (encoded.tokens, encoded.width) = (tokens, width);
            chunk.weigh(&mut hidden.values);
            encoded.hidden.append(&mut hidden.values);
            if index == 0 {
                encoded.pooled = pooled;
            }
        }
        let bytes = (encoded.hidden.len() + encoded.pooled.len()) * size_of::<f32>();
        Ok(self.cache.put(key, encoded, bytes))
    }

    /// Appends what `encoded` says to `hidden`, with empty chunks behind it up to `chunks` of them.
    pub(in crate::diffusion) fn append(
        &mut self,
        hidden: &mut Vec<f32>,
        encoded: &ClipText,
        chunks: usize,
        reading: Reading<'_>,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        hidden.extend_from_slice(&encoded.hidden);
        if encoded.chunks < chunks {
            let reading = Reading { syntax: Syntax::default(), ..reading };
            let empty = self.read("prompt", "", reading)?;
            let empty = self.encode(empty, interrupt)?;
            for _ in encoded.chunks..chunks {
                hidden.extend_from_slice(&empty.hidden);
            }
        }
        Ok(())
    }

    /// Hidden states of one chunk, and the pooled one where it is asked for.
    fn run(
        &mut self,
        chunk: &Chunk,
        scales: &[f32],
        output: &str,
        interrupt: &Interrupt,
    ) -> Result<(Output, Vec<f32>), Error> {
        let shape = [1, chunk.ids.len()];
        let ids = Input { name: IDS, shape: &shape, values: Values::I64(&chunk.ids) };
        let mask = self.spec.mask.map(|mask| match mask {
            Mask::All => vec![1; chunk.ids.len()],
            Mask::Prompt => chunk.mask(),
        });
        let mask = mask.as_deref().map(Values::I64);
        let mask = mask.map(|values| Input { name: MASK, shape: &shape, values });
        let inputs: Vec<_> =
            [ids].into_iter().chain(mask).chain(self.spec.adapters.given(scales)).collect();
        let (hidden, pooled) = match self.spec.pooled {
            None => (self.session.run(&inputs, output, interrupt)?, Vec::new()),
            Some(name) => {
                let [hidden, pooled] = self.session.run_for(&inputs, [output, name], interrupt)?;
                (hidden, pooled.values)
            }
        };
        for values in [&hidden.values, &pooled] {
            numbers::check(self.spec.component.clone(), values)?;
        }
        Ok((hidden, pooled))
    }
}

/// Says that a prompt was cut, if it was.
pub(in crate::diffusion) fn warn_if_cut(
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
