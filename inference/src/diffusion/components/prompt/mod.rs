//! A prompt as a text encoder reads it: chunks of tokens, each token with its weight.
//!
//! A chunk is what the encoder was trained on: start, tokens, end, padding (77 of them in CLIP).
//! A prompt that is longer is cut, as diffusers does it, or goes on in further chunks, each encoded
//! by itself, one behind the other along the sequence. That is how AUTOMATIC1111's web UI does it,
//! but that no chunk ends early for a comma's sake.

pub(in crate::diffusion) mod weights;

use hearth_api::GenerationRequest;

use self::weights::Piece;
use crate::diffusion::quoted::{quoted, quoted_to};
use crate::model::Invalid;
use crate::tokenizers::Clip;

/// Most chunks of a prompt. The denoiser's work on the text grows with them.
pub(super) const MAX_CHUNKS: usize = 8;

/// Characters of what is left out that a warning shows.
const SHOWN: usize = 200;

/// How a prompt's text is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::diffusion) struct Syntax {
    /// Brackets are weights, and not letters.
    pub(in crate::diffusion) weights: bool,
    /// What doesn't fit goes on in further chunks.
    pub(in crate::diffusion) long: bool,
}

impl Syntax {
    pub(in crate::diffusion) fn of(request: &GenerationRequest) -> Self {
        Self {
            weights: request.prompt_weights.unwrap_or_default(),
            long: request.long_prompt.unwrap_or_default(),
        }
    }

    /// What `text`, which came in `field`, is made of.
    ///
    /// # Errors
    /// Weights that can't be used, a break that no chunk follows.
    pub(in crate::diffusion) fn pieces(
        self,
        field: &'static str,
        text: &str,
    ) -> Result<Vec<Piece>, Invalid> {
        if !self.weights {
            return Ok(vec![Piece::Text { text: text.to_owned(), weight: 1.0 }]);
        }
        let invalid = |message: String| Invalid::new(field, &quoted(text), message);
        let pieces = weights::parse(text).map_err(invalid)?;
        if !self.long && pieces.contains(&Piece::Break) {
            return Err(invalid("BREAK begins another chunk; set long_prompt as well".to_owned()));
        }
        Ok(pieces)
    }
}

/// A prompt in tokens.
#[derive(Debug, PartialEq)]
pub(in crate::diffusion) struct Prompt {
    /// At least one.
    pub(super) chunks: Vec<Chunk>,
    pub(super) cut: Option<Cut>,
}

/// What the encoder reads at once.
#[derive(Debug, PartialEq)]
pub(in crate::diffusion) struct Chunk {
    /// Start, tokens, end, padding.
    pub(super) ids: Vec<i64>,
    /// One for each of `ids`.
    pub(super) weights: Vec<f32>,
    /// How many of `ids` are no padding.
    pub(super) own: usize,
}

/// The end of a prompt that didn't fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::diffusion) struct Cut {
    pub(in crate::diffusion) tokens: usize,
    pub(in crate::diffusion) text: String,
}

impl Cut {
    /// Says what is left out; `remedy` where there is one.
    pub(in crate::diffusion) fn warn(
        &self,
        warnings: &mut Vec<String>,
        field: &str,
        max: usize,
        remedy: &str,
    ) {
        let (tokens, text) = (self.tokens, quoted_to(SHOWN, &self.text));
        warnings.push(format!(
            "{field} is cut: its last {tokens} tokens, {text}, are left out, as the model reads \
             {max}{remedy}"
        ));
    }
}

/// Reads `text`, which came in `field`.
///
/// # Errors
/// Those of [`Syntax::pieces`], and a text of more than [`MAX_CHUNKS`].
pub(super) fn read(
    tokenizer: &Clip,
    field: &'static str,
    text: &str,
    syntax: Syntax,
) -> Result<Prompt, Invalid> {
    let room = tokenizer.max_length() - 2;
    let mut runs = vec![Vec::new()];
    for piece in syntax.pieces(field, text)? {
        let Piece::Text { text, weight } = piece else {
            runs.push(Vec::new());
            continue;
        };
        for token in tokenizer.tokenize(&text) {
            if syntax.long && runs.last().is_none_or(|run| run.len() >= room.max(1)) {
                runs.push(Vec::new());
            }
            if let Some(run) = runs.last_mut() {
                run.push((token, weight as f32));
            }
        }
    }
    if runs.len() > 1 && runs.last().is_some_and(Vec::is_empty) {
        runs.pop();
    }
    if runs.len() > MAX_CHUNKS {
        let message = format!(
            "it takes {} chunks of {room} tokens; shorten it to {MAX_CHUNKS} or fewer",
            runs.len()
        );
        return Err(Invalid::new(field, &quoted(text), message));
    }
    let left = runs.first_mut().filter(|run| run.len() > room).map(|run| run.split_off(room));
    let cut = left.map(|left| {
        let ids: Vec<_> = left.iter().map(|(token, _)| *token).collect();
        Cut { tokens: ids.len(), text: tokenizer.text(&ids) }
    });
    let chunks = runs.iter().map(|run| Chunk::of(tokenizer, run)).collect();
    Ok(Prompt { chunks, cut })
}

impl Chunk {
    fn of(tokenizer: &Clip, run: &[(u32, f32)]) -> Self {
        let tokens: Vec<_> = run.iter().map(|(token, _)| *token).collect();
        let mut weights = Vec::with_capacity(tokenizer.max_length());
        weights.push(1.0);
        weights.extend(run.iter().map(|(_, weight)| *weight));
        weights.resize(tokenizer.max_length(), 1.0);
        let ids = tokenizer.framed(&tokens);
        let own = (tokens.len() + 2).min(ids.len());
        Self { ids, weights, own }
    }

    /// An attention mask: 1 for start, tokens and end, 0 for padding.
    pub(super) fn mask(&self) -> Vec<i64> {
        (0..self.ids.len()).map(|place| i64::from(place < self.own)).collect()
    }

    /// Weighs the encoder's hidden states [tokens, width], as AUTOMATIC1111's web UI does it
    /// ("Original" among its kinds of emphasis): each token's are multiplied by its weight, then
    /// all of the chunk by one factor that gives it its mean back.
    pub(super) fn weigh(&self, hidden: &mut [f32]) {
        if self.weights.iter().all(|weight| *weight == 1.0) || hidden.is_empty() {
            return;
        }
        let before = mean(hidden);
        let width = hidden.len() / self.weights.len();
        for (token, weight) in hidden.chunks_exact_mut(width.max(1)).zip(&self.weights) {
            token.iter_mut().for_each(|value| *value *= weight);
        }
        // a mean of nought can't be given back
        let factor = (before / mean(hidden)) as f32;
        if factor.is_finite() {
            hidden.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests;
