//! Prompts and sizes to the UNet's inputs.

use std::sync::Arc;
use std::time::Duration;

use crate::blueprint::{Reader, Sessions};
use crate::diffusion::components::{
    Adapters, ClipEncoder, ClipPrompt, ClipSpec, ClipText, DenoiserSpec, HIDDEN, Layer, Reading,
    Syntax, bad,
};
use crate::diffusion::conditioning::{Conditioner, Conditioning};
use crate::diffusion::families::stable_diffusion::{EMBEDDING, guidance_embedding};
use crate::diffusion::settings::{Settings, single};
use crate::model::Error;
use crate::session::{Interrupt, Session};

/// The layer before the last, not normalised.
const PENULTIMATE: usize = 1;

/// What stands for a negative prompt that isn't given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Negative {
    /// Zeros, as the base model was trained with.
    Zeros,
    /// An empty prompt.
    Encoded,
}

/// What diffusers says of a picture's beauty, and of that of what it should keep away from.
const AESTHETIC_SCORES: [f32; 2] = [6.0, 2.5];

/// Both text encoders as the folder says them; the refiner has the second alone.
pub(super) struct TextSpec {
    first: Option<ClipSpec>,
    second: ClipSpec,
    asked: Requirements,
}

/// The same with their sessions.
struct Text {
    first: Option<ClipEncoder>,
    second: ClipEncoder,
    asked: Requirements,
}

/// What the UNet asks for, and the folder says of it.
#[derive(Clone, Copy)]
struct Requirements {
    negative: Negative,
    embedding: Option<usize>,
    /// A score stands where others have the target size.
    aesthetic: bool,
    /// What can be done about a prompt that is cut.
    remedy: &'static str,
}

/// What both encoders read of a prompt.
struct PromptTokens<'a> {
    first: Option<ClipPrompt>,
    second: ClipPrompt,
    fields: [&'static str; 2],
    reading: Reading<'a>,
}

/// What both encoders make of a prompt.
struct PromptEmbeds<'a> {
    first: Option<Arc<ClipText>>,
    second: Arc<ClipText>,
    reading: Reading<'a>,
}

impl PromptEmbeds<'_> {
    fn chunks(&self) -> usize {
        self.first.as_ref().map_or(1, |first| first.chunks).max(self.second.chunks)
    }

    fn width(&self) -> usize {
        self.first.as_ref().map_or(0, |first| first.width) + self.second.width
    }
}

impl TextSpec {
    pub(super) fn new(
        reader: &Reader<'_>,
        first: Option<ClipSpec>,
        second: ClipSpec,
        negative: Negative,
        embedding: Option<usize>,
        aesthetic: bool,
        remedy: &'static str,
    ) -> Result<Self, Error> {
        for encoder in first.iter().chain([&second]) {
            encoder.expect(reader, Layer::Before(PENULTIMATE));
        }
        let two = second.max_tokens();
        if let Some(one) = first.as_ref().map(ClipSpec::max_tokens).filter(|one| *one != two) {
            let reason = format!("model_max_length is {two}, but the first tokenizer's is {one}");
            return Err(bad("tokenizer_2/tokenizer_config.json", reason));
        }
        Ok(Self { first, second, asked: Requirements { negative, embedding, aesthetic, remedy } })
    }

    /// Notes it where the denoiser has other lengths built in than the encoders give.
    pub(super) fn expect_lengths(&self, reader: &Reader<'_>, denoiser: &DenoiserSpec) {
        let layer = Layer::Before(PENULTIMATE);
        let first = self.first.as_ref().map_or(Some(0), |first| first.width(layer));
        let width = first.zip(self.second.width(layer)).map(|(first, second)| first + second);
        let sizes = if self.asked.aesthetic { 5 } else { 6 };
        for (name, axis, length) in [
            (HIDDEN, 1, Some(self.max_tokens())),
            (HIDDEN, 2, width),
            ("text_embeds", 1, self.second.pooled_width()),
            ("time_ids", 1, Some(sizes)),
        ] {
            denoiser.expect_length(reader, name, axis, length);
        }
    }

    pub(super) fn max_tokens(&self) -> usize {
        self.second.max_tokens()
    }

    /// Layers that `clip_skip` can leave out of both.
    pub(super) fn max_skip(&self) -> u32 {
        let layer = Layer::Before(PENULTIMATE);
        let first = self.first.as_ref().map_or(u32::MAX, |first| first.max_skip(layer));
        first.min(self.second.max_skip(layer))
    }

    pub(super) fn adapters(&self) -> impl Iterator<Item = &Adapters> {
        self.first.iter().chain([&self.second]).map(ClipSpec::adapters)
    }

    pub(super) fn open(self, sessions: &mut Sessions) -> Result<Box<dyn Conditioner>, Error> {
        let first = self.first.map(|first| first.open(sessions)).transpose()?;
        let second = self.second.open(sessions)?;
        Ok(Box::new(Text { first, second, asked: self.asked }))
    }
}

impl Text {
    fn read<'a>(
        &mut self,
        [(field, text), (field_2, text_2)]: [(&'static str, &str); 2],
        reading: Reading<'a>,
    ) -> Result<PromptTokens<'a>, Error> {
        // alone the second one reads the first prompt
        let (first, (field_2, text_2)) = match &mut self.first {
            None => (None, (field, text)),
            Some(first) => (Some(first.read(field, text, reading)?), (field_2, text_2)),
        };
        let second = self.second.read(field_2, text_2, reading)?;
        Ok(PromptTokens { first, second, fields: [field, field_2], reading })
    }

    fn encode<'a>(
        &mut self,
        PromptTokens { first, second, fields: [field, field_2], reading }: PromptTokens<'a>,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<PromptEmbeds<'a>, Error> {
        let (max, remedy) = (self.second.max_tokens(), self.asked.remedy);
        let mut warn = |field, text: &ClipText| {
            if let Some(cut) = &text.cut {
                cut.warn(warnings, field, max, remedy);
            }
        };
        let first = match (&mut self.first, first) {
            (Some(encoder), Some(prompt)) => Some(encoder.encode(prompt, interrupt)?),
            _ => None,
        };
        let second = self.second.encode(second, interrupt)?;
        if let Some(first) = &first {
            warn(field, first);
        }
        if first.is_none() || field != field_2 {
            warn(field_2, &second);
        }
        Ok(PromptEmbeds { first, second, reading })
    }

    /// Appends both encoders' hidden states side by side, [chunks * tokens, width].
    fn append(
        &mut self,
        hidden: &mut Vec<f32>,
        encoded: &PromptEmbeds<'_>,
        chunks: usize,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let PromptEmbeds { first, second, reading } = encoded;
        let (Some(first), Some(encoder)) = (first, &mut self.first) else {
            return self.second.append(hidden, second, chunks, *reading, interrupt);
        };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        encoder.append(&mut one, first, chunks, *reading, interrupt)?;
        self.second.append(&mut two, second, chunks, *reading, interrupt)?;
        hidden.append(&mut beside(&one, first.width, &two, second.width));
        Ok(())
    }

    /// Original size, crop and target size (or a score), rows before columns: the prompt's and the
    /// negative one's.
    fn sizes(&self, settings: &Settings) -> [Vec<f32>; 2] {
        let request = &settings.request;
        let own = [settings.height, settings.width];
        let original = request.original_size.unwrap_or(own);
        let target = request.target_size.unwrap_or(own);
        let crop = request.crops_coords_top_left.unwrap_or([0, 0]);
        let score = request.aesthetic_score.map_or(AESTHETIC_SCORES[0], single);
        let positive = self.numbers(original, crop, target, score);
        // diffusers' text-to-image takes sizes of its own for the negative prompt or none. Where
        // there is a picture, each that isn't given is the prompt's; the crop always is, except
        // for models that know scores, where it is none.
        let from_picture = settings.from_picture;
        if !from_picture && request.negative_original_size.is_none() {
            return [positive.clone(), positive];
        }
        let original = request.negative_original_size.unwrap_or(original);
        let target = request.negative_target_size.unwrap_or(target);
        let crop = match from_picture && !self.asked.aesthetic {
            true => crop,
            false => request.negative_crops_coords_top_left.unwrap_or([0, 0]),
        };
        let score = request.negative_aesthetic_score.map_or(AESTHETIC_SCORES[1], single);
        [positive, self.numbers(original, crop, target, score)]
    }

    fn numbers(
        &self,
        original: [u32; 2],
        crop: [u32; 2],
        target: [u32; 2],
        score: f32,
    ) -> Vec<f32> {
        let sides = original.into_iter().chain(crop);
        let mut numbers: Vec<_> = sides.map(|side| side as f32).collect();
        match self.asked.aesthetic {
            true => numbers.push(score),
            false => numbers.extend(target.map(|side| side as f32)),
        }
        numbers
    }
}

/// Rows of `a` with rows of `b` behind them.
pub(in crate::diffusion) fn beside(
    a: &[f32],
    width_a: usize,
    b: &[f32],
    width_b: usize,
) -> Vec<f32> {
    let mut rows = Vec::with_capacity(a.len() + b.len());
    for (a, b) in a.chunks_exact(width_a).zip(b.chunks_exact(width_b)) {
        rows.extend_from_slice(a);
        rows.extend_from_slice(b);
    }
    rows
}

impl Conditioner for Text {
    fn condition(
        &mut self,
        settings: &Settings,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Conditioning, Error> {
        let request = &settings.request;
        let skip = request.clip_skip.unwrap_or(0) as usize;
        let prompts = second_or_first(
            ("prompt", &settings.request.prompt),
            ("prompt_2", request.prompt_2.as_deref()),
        );
        let reading = Reading {
            layer: Layer::Before(PENULTIMATE + skip),
            syntax: Syntax::of(request),
            lora: &request.lora,
        };
        let positive = self.read(prompts, reading)?;
        let guided = settings.guidance_scale > 1.0 && self.asked.embedding.is_none();
        let zeros = self.asked.negative == Negative::Zeros && request.negative_prompt.is_none();
        let negative = match guided && !zeros {
            false => None,
            true => {
                let prompts = second_or_first(
                    ("negative_prompt", &settings.negative_prompt),
                    ("negative_prompt_2", request.negative_prompt_2.as_deref()),
                );
                // diffusers leaves no layer out of the negative prompt
                let reading = Reading { layer: Layer::Before(PENULTIMATE), ..reading };
                Some(self.read(prompts, reading)?)
            }
        };
        let positive = self.encode(positive, warnings, interrupt)?;
        let negative = match negative {
            Some(negative) => Some(self.encode(negative, warnings, interrupt)?),
            None => None,
        };

        let chunks =
            negative.iter().chain([&positive]).map(PromptEmbeds::chunks).max().unwrap_or(1);
        let shape = [chunks * positive.second.tokens, positive.width()];
        let pooled_width = positive.second.pooled.len();
        let (mut hidden, mut pooled) = (Vec::new(), Vec::new());
        if guided && zeros {
            hidden.resize(shape[0] * shape[1], 0.0);
            pooled.resize(pooled_width, 0.0);
        }
        for encoded in negative.iter().chain([&positive]) {
            self.append(&mut hidden, encoded, chunks, interrupt)?;
            pooled.extend_from_slice(&encoded.second.pooled);
        }
        let copies = if guided { 2 } else { 1 };
        let rescale = request.guidance_rescale.map_or(0.0, single);
        let mut conditioning = Conditioning::new(copies, settings.guidance_scale, rescale);
        conditioning.push("encoder_hidden_states", &shape, hidden);
        conditioning.push("text_embeds", &[pooled_width], pooled);
        let [own, other] = self.sizes(settings);
        let length = own.len();
        let sizes = if copies == 2 { [other, own].concat() } else { own };
        conditioning.push("time_ids", &[length], sizes);
        if let Some(width) = self.asked.embedding {
            let values = guidance_embedding(settings.guidance_scale, width);
            conditioning.push(EMBEDDING, &[width], values);
        }
        Ok(conditioning)
    }

    fn busy(&self) -> Duration {
        let first = self.first.as_ref().map_or(Duration::ZERO, ClipEncoder::busy);
        first + self.second.busy()
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        self.first.iter_mut().chain([&mut self.second]).map(ClipEncoder::graph).collect()
    }
}

/// What each of two encoders reads, and the field that it comes from.
pub(in crate::diffusion) fn second_or_first<'a>(
    first: (&'static str, &'a str),
    (field, second): (&'static str, Option<&'a str>),
) -> [(&'static str, &'a str); 2] {
    match second.filter(|text| !text.is_empty()) {
        Some(second) => [first, (field, second)],
        None => [first, first],
    }
}
