//! A tokenizer that one file says whole, and the `tokenizers` crate runs.

use std::path::Path;

use tokenizers::{NormalizerWrapper, Tokenizer};

use super::error::Error;
use super::learned::LearnedWords;
use super::special;
use crate::brief::{MESSAGE, brief};
use crate::files::Text;

/// The file's name.
pub(super) const FILE: &str = "tokenizer.json";
/// Prompts have some ten thousand letters.
const MAX_GROWTH: usize = 1024;

/// The tokenizer of a `tokenizer.json`, which neither cuts nor pads.
pub(super) fn read(path: &Path) -> Result<Tokenizer, Error> {
    let malformed = |error: tokenizers::Error| Error::Malformed {
        path: path.to_owned(),
        problem: brief(error.to_string(), MESSAGE),
    };
    let text = special::read(path, Text::Vocabulary)?;
    let mut tokenizer: Tokenizer = text.parse().map_err(malformed)?;
    tokenizer.with_padding(None).with_truncation(None).map_err(malformed)?;
    let growth = tokenizer.get_normalizer().map_or(1, growth);
    if growth > MAX_GROWTH {
        let problem = format!("its normalizer makes texts {growth} times as long");
        return Err(Error::Malformed { path: path.to_owned(), problem });
    }
    Ok(tokenizer)
}

/// The learned words among its added tokens.
pub(super) fn learned(tokenizer: &Tokenizer) -> LearnedWords {
    let added = tokenizer.get_added_vocabulary().get_vocab();
    LearnedWords::of(added.iter().map(|(token, id)| (token.as_str(), *id)))
}

/// How many times as long a normalizer may make a text, by what it puts in a letter's place.
fn growth(normalizer: &NormalizerWrapper) -> usize {
    match normalizer {
        NormalizerWrapper::Sequence(all) => {
            all.as_ref().iter().map(growth).fold(1, usize::saturating_mul)
        }
        // A pattern may fit between letters, too.
        NormalizerWrapper::Replace(replace) => replace.content.len().saturating_add(1),
        NormalizerWrapper::Prepend(prepend) => prepend.prepend.len().saturating_add(1),
        _ => 1,
    }
}
