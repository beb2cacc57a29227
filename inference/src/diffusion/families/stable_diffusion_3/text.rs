//! Three prompts to the transformer's inputs.

use std::time::Duration;

use crate::blueprint::{Reader, Sessions};
use crate::diffusion::components::{
    Adapters, ClipEncoder, ClipPrompt, ClipSpec, Layer, Reading, Syntax, T5Encoder, T5Prompt,
    T5Spec, bad, warn_if_cut,
};
use crate::diffusion::conditioning::{Conditioner, Conditioning};
use crate::diffusion::families::stable_diffusion_xl::{beside, second_or_first};
use crate::diffusion::settings::Settings;
use crate::model::{Error, SequenceLength};
use crate::session::{Interrupt, Session};

/// Tokens that T5 reads: diffusers' default, and most of them.
pub(super) const LENGTH: SequenceLength = SequenceLength { default: 256, max: 512 };
/// The layer before the last, not normalised.
const PENULTIMATE: usize = 1;

/// The text encoders as the folder says them; T5 may be left out.
pub(super) struct TextSpec {
    first: ClipSpec,
    second: ClipSpec,
    third: Option<T5Spec>,
    /// Width of the transformer's hidden states.
    width: usize,
    length: SequenceLength,
}

/// The same with their sessions.
struct Text {
    first: ClipEncoder,
    second: ClipEncoder,
    third: Option<T5Encoder>,
    width: usize,
    length: SequenceLength,
}

/// What the three encoders read of a prompt.
struct PromptTokens {
    first: ClipPrompt,
    second: ClipPrompt,
    third: Option<T5Prompt>,
    fields: [&'static str; 3],
}

/// A prompt as the transformer takes it.
struct PromptEmbeds {
    /// CLIP's tokens, then T5's: [tokens, width].
    hidden: Vec<f32>,
    pooled: Vec<f32>,
}

/// What the three encoders read, each with its field.
type Prompts<'a> = [(&'static str, &'a str); 3];

impl TextSpec {
    pub(super) fn new(
        reader: &Reader<'_>,
        first: ClipSpec,
        second: ClipSpec,
        third: Option<T5Spec>,
        width: usize,
        length: SequenceLength,
    ) -> Result<Self, Error> {
        for encoder in [&first, &second] {
            encoder.expect(reader, Layer::Before(PENULTIMATE));
        }
        let (one, two) = (first.max_tokens(), second.max_tokens());
        if one != two {
            let reason = format!("model_max_length is {two}, but the first tokenizer's is {one}");
            return Err(bad("tokenizer_2/tokenizer_config.json", reason));
        }
        Ok(Self { first, second, third, width, length })
    }

    pub(super) fn max_tokens(&self) -> usize {
        self.first.max_tokens()
    }

    pub(super) fn max_skip(&self) -> u32 {
        let layer = Layer::Before(PENULTIMATE);
        self.first.max_skip(layer).min(self.second.max_skip(layer))
    }

    pub(super) fn adapters(&self) -> impl Iterator<Item = &Adapters> {
        [&self.first, &self.second].into_iter().map(ClipSpec::adapters)
    }

    pub(super) fn open(self, sessions: &mut Sessions) -> Result<Box<dyn Conditioner>, Error> {
        Ok(Box::new(Text {
            first: self.first.open(sessions)?,
            second: self.second.open(sessions)?,
            third: self.third.map(|third| third.open(sessions)).transpose()?,
            width: self.width,
            length: self.length,
        }))
    }
}

impl Text {
    fn read(
        &mut self,
        prompts: Prompts<'_>,
        reading: Reading<'_>,
        length: usize,
    ) -> Result<PromptTokens, Error> {
        let [(field, text), (field_2, text_2), (_, text_3)] = prompts;
        let first = self.first.read(field, text, reading)?;
        let second = self.second.read(field_2, text_2, reading)?;
        let third = match &mut self.third {
            Some(third) => Some(third.read(text_3, length)?),
            None => None,
        };
        Ok(PromptTokens { first, second, third, fields: prompts.map(|(field, _)| field) })
    }

    fn encode(
        &mut self,
        PromptTokens { first, second, third, fields: [field, field_2, field_3] }: PromptTokens,
        length: usize,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<PromptEmbeds, Error> {
        let max = self.first.max_tokens();
        let first = self.first.encode(first, interrupt)?;
        let second = self.second.encode(second, interrupt)?;
        if let Some(cut) = &first.cut {
            cut.warn(warnings, field, max, "");
        }
        if let Some(cut) = second.cut.as_ref().filter(|_| field_2 != field) {
            cut.warn(warnings, field_2, max, "");
        }
        let clip = beside(&first.hidden, first.width, &second.hidden, second.width);
        let clip_width = first.width + second.width;
        if clip_width > self.width {
            let reason = format!(
                "joint_attention_dim {} is less than the text encoders' {clip_width} together",
                self.width
            );
            return Err(bad("transformer/config.json", reason));
        }
        let mut hidden = Vec::with_capacity((first.tokens + length) * self.width);
        for token in clip.chunks_exact(clip_width) {
            hidden.extend_from_slice(token);
            hidden.resize(hidden.len() + self.width - clip_width, 0.0);
        }
        match (&mut self.third, third) {
            (Some(encoder), Some(prompt)) => {
                let third = encoder.encode(prompt, interrupt)?;
                if field_3 != field {
                    warn_if_cut(warnings, field_3, third.truncated, length);
                }
                hidden.extend_from_slice(&third.hidden);
            }
            _ => hidden.resize(hidden.len() + length * self.width, 0.0),
        }
        let pooled = [first.pooled.as_slice(), &second.pooled].concat();
        Ok(PromptEmbeds { hidden, pooled })
    }
}

impl Conditioner for Text {
    fn condition(
        &mut self,
        settings: &Settings,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Conditioning, Error> {
        let request = &settings.request;
        let length = request.max_sequence_length.unwrap_or(self.length.default) as usize;
        let skip = request.clip_skip.unwrap_or(0) as usize;
        let prompts = three(
            ("prompt", &settings.request.prompt),
            ("prompt_2", request.prompt_2.as_deref()),
            ("prompt_3", request.prompt_3.as_deref()),
        );
        let reading = Reading {
            layer: Layer::Before(PENULTIMATE + skip),
            syntax: Syntax::default(),
            lora: &request.lora,
        };
        let mut read = vec![self.read(prompts, reading, length)?];
        if settings.guidance_scale > 1.0 {
            let prompts = three(
                ("negative_prompt", &settings.negative_prompt),
                ("negative_prompt_2", request.negative_prompt_2.as_deref()),
                ("negative_prompt_3", request.negative_prompt_3.as_deref()),
            );
            // diffusers leaves no layer out of the negative prompt
            let reading = Reading { layer: Layer::Before(PENULTIMATE), ..reading };
            read.insert(0, self.read(prompts, reading, length)?);
        }
        let mut encoded = Vec::with_capacity(read.len());
        for prompt in read {
            encoded.push(self.encode(prompt, length, warnings, interrupt)?);
        }
        let tokens = encoded[0].hidden.len() / self.width;
        let pooled = encoded[0].pooled.len();
        let mut conditioning = Conditioning::new(encoded.len(), settings.guidance_scale, 0.0);
        let all = encoded.iter().flat_map(|prompt| prompt.hidden.iter().copied()).collect();
        conditioning.push("encoder_hidden_states", &[tokens, self.width], all);
        let all = encoded.iter().flat_map(|prompt| prompt.pooled.iter().copied()).collect();
        conditioning.push("pooled_projections", &[pooled], all);
        Ok(conditioning)
    }

    fn busy(&self) -> Duration {
        let third = self.third.as_ref().map_or(Duration::ZERO, T5Encoder::busy);
        self.first.busy() + self.second.busy() + third
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        let mut graphs = vec![self.first.graph(), self.second.graph()];
        graphs.extend(self.third.as_mut().map(T5Encoder::graph));
        graphs
    }
}

fn three<'a>(
    first: (&'static str, &'a str),
    second: (&'static str, Option<&'a str>),
    third: (&'static str, Option<&'a str>),
) -> Prompts<'a> {
    let [_, second] = second_or_first(first, second);
    let [_, third] = second_or_first(first, third);
    [first, second, third]
}
