//! A CLIP folder's special tokens and lengths: `tokenizer_config.json` and
//! `special_tokens_map.json`.
//!
//! As transformers reads them: the config rules where it lists its added tokens; in older folders,
//! where it doesn't, the map and `added_tokens.json` have the last word.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::Error;
use crate::brief::{MESSAGE, VALUE, brief};
use crate::files::Text;

/// Tokens of a vocabulary's own, at most; prompts have some ten thousand letters.
const MAX_ADDED: usize = 4096;

/// What the folder says beyond vocabulary and merges.
pub(super) struct Special {
    /// Length of a padded prompt, in tokens.
    pub(super) max_length: usize,
    /// Ids of the tokens around and after a prompt.
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) pad: u32,
    /// The token that stands for unknown ones.
    pub(super) unknown: String,
    /// Tokens found in a prompt as they are written, with their ids; longest first.
    pub(super) added: Vec<AddedToken>,
}

/// A token that is taken out of the text before anything else.
#[derive(Debug)]
pub(super) struct AddedToken {
    pub(super) content: String,
    pub(super) id: u32,
    /// Only where no other word touches it.
    pub(super) single_word: bool,
}

impl Special {
    pub(super) fn load(folder: &Path, vocab: &HashMap<String, u32>) -> Result<Self, Error> {
        let path = folder.join("tokenizer_config.json");
        let mut config = read_object(&path)?;
        let max_length = max_length(&path, &config)?;
        let right = |key: &str| match config.get(key) {
            None => Ok(()),
            Some(side) if side == "right" => Ok(()),
            Some(side) => Err(invalid(&path, key, side, "right, as CLIP was trained")),
        };
        right("padding_side")?;
        right("truncation_side")?;

        let mut added = listed(&path, &config)?;
        if !config.contains_key("added_tokens_decoder") {
            config.extend(read_optional_object(&folder.join("special_tokens_map.json"))?);
            let extra = folder.join("added_tokens.json");
            for (content, id) in read_optional_object(&extra)? {
                let id = token_id(&extra, &content, id.as_u64())?;
                added.push(AddedToken { content, id, single_word: false });
            }
        }
        if added.len() > MAX_ADDED {
            let value = Value::from(format!("{} tokens", added.len()));
            let expected = format!("at most {MAX_ADDED}, each is looked for in every prompt");
            return Err(invalid(&path, "added_tokens_decoder", &value, &expected));
        }
        let mut find = |key: &str, default: &str| {
            let (content, single_word) = token(config.get(key)).unwrap_or((default.into(), false));
            if let Some(known) = added.iter().find(|token| token.content == content) {
                return Ok((known.id, content));
            }
            let Some(&id) = vocab.get(&content) else {
                return Err(invalid(&path, key, &content.into(), "a token of vocab.json"));
            };
            added.push(AddedToken { content: content.clone(), id, single_word });
            Ok((id, content))
        };
        let (start, _) = find("bos_token", "<|startoftext|>")?;
        let (end, _) = find("eos_token", "<|endoftext|>")?;
        let (_, unknown) = find("unk_token", "<|endoftext|>")?;
        let (pad, _) = find("pad_token", "<|endoftext|>")?;
        if !vocab.contains_key(&unknown) {
            return Err(invalid(&path, "unk_token", &unknown.into(), "a token of vocab.json"));
        }
        added.retain(|token| !token.content.is_empty());
        added.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
        Ok(Self { max_length, start, end, pad, unknown, added })
    }
}

/// The length that holds at least the two tokens around a prompt, and is no placeholder.
fn max_length(path: &Path, config: &Map<String, Value>) -> Result<usize, Error> {
    const MOST: u64 = 65_536;
    let value = config.get("model_max_length").unwrap_or(&Value::Null);
    value
        .as_u64()
        .filter(|length| (2..=MOST).contains(length))
        .and_then(|length| usize::try_from(length).ok())
        .ok_or_else(|| invalid(path, "model_max_length", value, "the model's length, e.g. 77"))
}

/// The entries of `added_tokens_decoder`: id to token.
fn listed(path: &Path, config: &Map<String, Value>) -> Result<Vec<AddedToken>, Error> {
    let Some(Value::Object(entries)) = config.get("added_tokens_decoder") else {
        return Ok(Vec::new());
    };
    let read = |(id, entry): (&String, &Value)| {
        let (content, single_word) = token(Some(entry)).ok_or_else(|| {
            let key = format!("added_tokens_decoder.{}", brief(id.clone(), VALUE));
            invalid(path, &key, entry, "a token with content")
        })?;
        let id = token_id(path, &content, id.parse().ok())?;
        Ok(AddedToken { content, id, single_word })
    };
    entries.iter().map(read).collect()
}

/// A token as a string or as an object with `content`.
fn token(value: Option<&Value>) -> Option<(String, bool)> {
    match value? {
        Value::String(content) => Some((content.clone(), false)),
        Value::Object(entry) => {
            let single_word = entry.get("single_word") == Some(&Value::Bool(true));
            Some((entry.get("content")?.as_str()?.to_owned(), single_word))
        }
        _ => None,
    }
}

fn token_id(path: &Path, content: &str, id: Option<u64>) -> Result<u32, Error> {
    id.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| Error::Malformed {
        path: path.into(),
        problem: format!("the id of token `{}` is no token id", brief(content.to_owned(), VALUE)),
    })
}

fn invalid(path: &Path, key: &str, value: &Value, expected: &str) -> Error {
    Error::Invalid {
        path: path.into(),
        key: key.into(),
        value: brief(value.to_string(), VALUE),
        expected: expected.into(),
    }
}

fn read_object(path: &Path) -> Result<Map<String, Value>, Error> {
    let text = read(path, Text::Config)?;
    let malformed =
        |problem: String| Error::Malformed { path: path.into(), problem: brief(problem, MESSAGE) };
    match serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))? {
        Value::Object(entries) => Ok(entries),
        _ => Err(malformed("it is not an object".to_owned())),
    }
}

fn read_optional_object(path: &Path) -> Result<Map<String, Value>, Error> {
    if path.exists() { read_object(path) } else { Ok(Map::new()) }
}

/// The text of a file of the folder.
pub(super) fn read(path: &Path, kind: Text) -> Result<String, Error> {
    crate::files::text(path, kind).map_err(|source| Error::Read { path: path.into(), source })
}
