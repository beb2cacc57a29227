//! CLIP's byte-pair tokenizer, equal to transformers' slow `CLIPTokenizer` without ftfy.
//!
//! Exported folders hold `vocab.json` and `merges.txt` but no `tokenizer.json`, so the slow
//! tokenizer is what pipelines run. The merging is the `tokenizers` crate's; the text clean-up,
//! the split into words and the treatment of special tokens are the slow tokenizer's. Newer
//! versions of transformers save `tokenizer.json` alone, and run all of it by that crate: so is it
//! done here where the other two files aren't there.

use std::collections::HashMap;
use std::path::Path;

use regex::Regex;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::{Model, Tokenizer};

use super::basic::clean;
use super::error::Error;
use super::learned::LearnedWords;
use super::special::{AddedToken, Special, read};
use super::tokens::Tokens;
use super::whole;
use crate::brief::{MESSAGE, VALUE, brief};
use crate::files::Text;

/// The slow tokenizer reads no more merges than CLIP has.
const MAX_MERGES: usize = 49_152 - 256 - 2;

/// Marks the last letter of a word.
const WORD_END: &str = "</w>";

/// CLIP's words: contractions, letters, single digits, runs of anything else. U+0345 is in none:
/// Python's `regex` finds it in no class where case makes no difference, as its other case is a
/// letter and it is a mark. For that reason also the classes stand outside of `(?i:…)`.
const WORDS: &str = concat!(
    r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)",
    r"|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"
);

/// A loaded CLIP tokenizer.
#[derive(Debug)]
pub struct Clip {
    rule: Rule,
    byte_letters: [char; 256],
    max_length: usize,
    start: u32,
    end: u32,
    pad: u32,
    added: Vec<AddedToken>,
    learned: LearnedWords,
}

/// How text becomes tokens.
#[derive(Debug)]
enum Rule {
    Slow {
        bpe: Box<BPE>,
        words: Regex,
        unknown: u32,
    },
    /// As a `tokenizer.json` says.
    Whole(Box<Tokenizer>),
}

impl Clip {
    /// Loads `vocab.json` and `merges.txt` or else `tokenizer.json`, and `tokenizer_config.json`
    /// and, in older folders, `special_tokens_map.json` and `added_tokens.json` from `folder`.
    ///
    /// # Errors
    /// A missing or malformed file, merges that don't fit the vocabulary, special tokens that are
    /// not in it, no usable `model_max_length`.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let has = |file: &str| folder.join(file).is_file();
        if has(whole::FILE) && !(has("vocab.json") && has("merges.txt")) {
            return Self::load_whole(folder);
        }
        let vocab_path = folder.join("vocab.json");
        let malformed = |problem: String| {
            let problem = brief(problem, MESSAGE);
            Error::Malformed { path: vocab_path.clone(), problem }
        };
        let vocab: HashMap<String, u32> =
            serde_json::from_str(&read(&vocab_path, Text::Vocabulary)?)
                .map_err(|error| malformed(unfit_vocabulary(&error)))?;
        let special = Special::load(folder, &vocab)?;
        let merges = merges(&folder.join("merges.txt"), &vocab)?;
        let unknown = vocab.get(&special.unknown).copied().unwrap_or(special.end);
        let bpe = BPE::builder()
            .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges)
            .unk_token(special.unknown.clone())
            .end_of_word_suffix(WORD_END.into())
            .build()
            .map_err(|error| malformed(error.to_string()))?;
        let words = Regex::new(WORDS).map_err(|error| malformed(error.to_string()))?;
        Ok(Self::new(Rule::Slow { bpe: Box::new(bpe), words, unknown }, special))
    }

    /// Loads `tokenizer.json` in place of vocabulary and merges.
    fn load_whole(folder: &Path) -> Result<Self, Error> {
        let tokenizer = whole::read(&folder.join(whole::FILE))?;
        let special = Special::load(folder, &tokenizer.get_vocab(true).into_iter().collect())?;
        Ok(Self::new(Rule::Whole(Box::new(tokenizer)), special))
    }

    fn new(rule: Rule, special: Special) -> Self {
        let Special { max_length, start, end, pad, added, .. } = special;
        let learned = match &rule {
            Rule::Slow { .. } => {
                LearnedWords::of(added.iter().map(|token| (token.content.as_str(), token.id)))
            }
            Rule::Whole(tokenizer) => whole::learned(tokenizer),
        };
        Self { rule, byte_letters: byte_letters(), max_length, start, end, pad, added, learned }
    }

    /// The length of a padded prompt in tokens, start and end included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Tokenizes `text`, cut and padded to [`max_length`](Self::max_length).
    pub fn encode(&self, text: &str) -> Tokens {
        let tokens = self.tokenize(text);
        let kept = tokens.len().min(self.max_length - 2);
        Tokens { ids: self.framed(&tokens), truncated: tokens.len() - kept }
    }

    /// `tokens` between start and end, cut and padded to [`max_length`](Self::max_length).
    pub fn framed(&self, tokens: &[u32]) -> Vec<i64> {
        let kept = tokens.len().min(self.max_length - 2);
        let mut ids = Vec::with_capacity(self.max_length);
        ids.push(self.start.into());
        ids.extend(tokens[..kept].iter().copied().map(i64::from));
        ids.push(self.end.into());
        ids.resize(self.max_length, self.pad.into());
        ids
    }

    /// The words that `tokens` stand for, as people read them.
    pub fn text(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &id in tokens {
            if let Some(added) = self.added.iter().find(|added| added.id == id) {
                bytes.extend_from_slice(added.content.as_bytes());
                continue;
            }
            let token = match &self.rule {
                Rule::Slow { bpe, .. } => bpe.id_to_token(id),
                Rule::Whole(tokenizer) => tokenizer.id_to_token(id),
            };
            let token = token.unwrap_or_default();
            let (letters, ends) =
                token.strip_suffix(WORD_END).map_or((token.as_str(), false), |word| (word, true));
            let byte = |letter| self.byte_letters.iter().position(|known| *known == letter);
            bytes.extend(letters.chars().filter_map(byte).filter_map(|at| u8::try_from(at).ok()));
            if ends {
                bytes.push(b' ');
            }
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// The prompt's own tokens: special ones as written, the text between them by words. A learned
    /// word stands for all of its vectors.
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.learned.widen(self.tokens(text))
    }

    fn tokens(&self, text: &str) -> Vec<u32> {
        let (bpe, words, unknown) = match &self.rule {
            Rule::Slow { bpe, words, unknown } => (bpe, words, *unknown),
            Rule::Whole(tokenizer) => {
                // fails only without an unknown token, which loading has made sure of
                let encoding = tokenizer.encode_fast(text, false);
                return encoding
                    .map_or_else(|_| Vec::new(), |encoding| encoding.get_ids().to_vec());
            }
        };
        let tokenize_words = |text: &str, ids: &mut Vec<u32>| {
            for word in words.find_iter(&clean(text)) {
                let word = word.as_str();
                if matches!(word, "<|startoftext|>" | "<|endoftext|>") {
                    ids.push(bpe.token_to_id(word).unwrap_or(unknown));
                    continue;
                }
                let letters: String =
                    word.bytes().map(|byte| self.byte_letters[usize::from(byte)]).collect();
                // fails only without an unknown token, which loading has made sure of
                let tokens = bpe.tokenize(&letters).unwrap_or_default();
                ids.extend(tokens.iter().map(|token| token.id));
            }
        };
        let mut ids = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            if let Some(token) = self.added_at(text, at) {
                tokenize_words(&text[from..at], &mut ids);
                ids.push(token.id);
                at += token.content.len();
                from = at;
            } else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        tokenize_words(&text[from..], &mut ids);
        ids
    }

    /// The longest added token that stands at byte `at` of `text`.
    fn added_at(&self, text: &str, at: usize) -> Option<&AddedToken> {
        let (before, rest) = text.split_at(at);
        self.added.iter().find(|token| {
            let Some(after) = rest.strip_prefix(token.content.as_str()) else { return false };
            let free = |neighbour: Option<char>| neighbour.is_none_or(|char| char == ' ');
            !token.single_word || (free(before.chars().next_back()) && free(after.chars().next()))
        })
    }
}

/// What is wrong with a vocabulary's JSON.
fn unfit_vocabulary(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return error.to_string();
    }
    let (line, column) = (error.line(), error.column());
    format!("it doesn't give each token a whole number (line {line}, column {column})")
}

/// The merges, in rank order; their parts and results must be in the vocabulary.
fn merges(path: &Path, vocab: &HashMap<String, u32>) -> Result<Merges, Error> {
    let text = read(path, Text::Vocabulary)?;
    // the first line is the version, whatever it says
    let lines = text.trim().split('\n').skip(1).take(MAX_MERGES);
    let malformed = |number: usize, line: &str, problem: &str| Error::Malformed {
        path: path.into(),
        problem: format!(
            "line {}, `{}`: {problem}",
            number + 2,
            brief(line.trim().to_owned(), VALUE)
        ),
    };
    let merge = |(number, line): (usize, &str)| {
        let mut parts = line.split_whitespace();
        let (Some(left), Some(right), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed(number, line, "two parts are expected"));
        };
        let merged = format!("{left}{right}");
        for token in [left, right, &merged] {
            if !vocab.contains_key(token) {
                let token = brief(token.to_owned(), VALUE);
                let problem = format!("`{token}` is not in vocab.json");
                return Err(malformed(number, line, &problem));
            }
        }
        Ok((left.to_owned(), right.to_owned()))
    };
    lines.enumerate().map(merge).collect()
}

/// A printable letter for each byte: itself where it prints, else one from U+0100 on (GPT-2).
fn byte_letters() -> [char; 256] {
    let mut spare = '\u{100}'..;
    std::array::from_fn(|byte| match u8::try_from(byte) {
        Ok(byte @ (b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)) => char::from(byte),
        _ => spare.next().unwrap_or(char::REPLACEMENT_CHARACTER),
    })
}

#[cfg(test)]
mod tests {
    use super::byte_letters;

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let letters = byte_letters();
        assert_eq!((letters[0], letters[usize::from(b' ')], letters[0xAD]), ('Ā', 'Ġ', 'Ń'));
        let distinct: std::collections::HashSet<_> = letters.into_iter().collect();
        assert_eq!(distinct.len(), 256);
    }
}
