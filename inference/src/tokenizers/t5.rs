//! T5's tokenizer, as the folder's `tokenizer.json` says it.
//!
//! Pipelines run transformers' fast tokenizer here, which is the `tokenizers` crate itself. The
//! sentencepiece model beside it, or alone in older folders, is not read.

use std::path::Path;

use tokenizers::Tokenizer;

use super::error::Error;
use super::learned::LearnedWords;
use super::tokens::Tokens;
use super::whole::{self, FILE};

const SENTENCEPIECE: &str = "spiece.model";
const END: &str = "</s>";
const PAD: &str = "<pad>";

/// A loaded T5 tokenizer.
#[derive(Debug)]
pub struct T5 {
    tokenizer: Tokenizer,
    end: u32,
    pad: u32,
    learned: LearnedWords,
}

impl T5 {
    /// Loads `tokenizer.json` from `folder`.
    ///
    /// # Errors
    /// A missing file (with what to do where only `spiece.model` is there), a malformed one, or
    /// one without T5's end and padding.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        if !path.is_file() && folder.join(SENTENCEPIECE).is_file() {
            return Err(Error::SentencePiece { folder: folder.to_owned() });
        }
        let malformed = |problem: String| Error::Malformed { path: path.clone(), problem };
        let tokenizer = whole::read(&path)?;
        let id = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| malformed(format!("it has no {token}")))
        };
        let (end, pad) = (id(END)?, id(PAD)?);
        let learned = whole::learned(&tokenizer);
        Ok(Self { tokenizer, end, pad, learned })
    }

    /// Tokenizes `text`, with the end token after it, cut and padded to `length` tokens.
    ///
    /// # Errors
    /// A text that the folder's tokenizer can't take.
    pub fn encode(&self, text: &str, length: usize) -> Result<Tokens, Error> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| Error::Text { problem: error.to_string() })?;
        let tokens = self.learned.widen(encoding.get_ids().to_vec());
        let kept = tokens.len().min(length.saturating_sub(1));
        let mut ids: Vec<i64> = tokens[..kept].iter().copied().map(i64::from).collect();
        ids.push(self.end.into());
        ids.resize(length.max(1), self.pad.into());
        Ok(Tokens { ids, truncated: tokens.len() - kept })
    }
}
