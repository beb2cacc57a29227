//! A file that a request brings along: a picture to change, a mask, latents.
//!
//! Its bytes never go through MessagePack: on the wire a request has their digest, and they follow
//! as an attachment that is named like the field. In JSON they are base64, plain or in a `data:`
//! URL.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

/// A file's bytes and their digest. Equal where the digests are.
#[derive(Clone, Serialize)]
pub struct Input {
    /// SHA-256 of the bytes, hex.
    sha256: String,
    /// How many there are.
    len: u64,
    /// The bytes; none in a request that has just come over the wire.
    #[serde(skip)]
    bytes: Option<Bytes>,
}

impl Input {
    /// A file of those bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Self { sha256, len: bytes.len() as u64, bytes: Some(bytes) }
    }

    /// SHA-256 of the bytes, hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, if they are there.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        self.bytes.as_ref()
    }

    /// Takes the bytes that came as an attachment; false if they are others.
    #[must_use]
    pub fn fill(&mut self, bytes: Bytes) -> bool {
        let same =
            bytes.len() as u64 == self.len && hex::encode(Sha256::digest(&bytes)) == self.sha256;
        self.bytes = same.then_some(bytes);
        same
    }
}

impl PartialEq for Input {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({} bytes, {})", self.len, self.sha256.get(..8).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            sha256: String,
            len: u64,
        }
        if !input.is_human_readable() {
            let Wire { sha256, len } = Wire::deserialize(input)?;
            return Ok(Self { sha256, len, bytes: None });
        }
        let text = input.deserialize_str(Base64)?;
        let data = match text.strip_prefix("data:") {
            Some(url) => url.split_once(";base64,").map(|(_, data)| data),
            None => Some(text.as_str()),
        };
        let bytes = data.and_then(|data| STANDARD.decode(data.trim()).ok());
        bytes.map(Self::new).ok_or_else(|| D::Error::custom(format!("give {BASE64}")))
    }
}

/// What a file is in JSON.
const BASE64: &str = "the file's bytes in base64, plain or as data:image/png;base64,…";

/// Reads the text that holds a file.
struct Base64;

impl Visitor<'_> for Base64 {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BASE64)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}
