//! Graphics cards by their type, as people write it: `A100` is one, `H100:2` are two.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Longest name of a type.
const MAX_NAME: usize = 63;
/// Docker's word for whatever cards there are, which names no type.
const ALL: &str = "all";

/// Graphics cards of one type for each replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GpuType {
    name: String,
    count: u32,
}

impl GpuType {
    /// The type, as the engine below knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many each replica has; at least 1.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The refusal of a launcher that can't choose cards by their type.
    pub(crate) fn refuse(&self, launcher: &'static str) -> Error {
        let remedy = format!(
            "the launcher {launcher} can't choose graphics cards by type: give a number, as in {}, \
             or use slurm or kubernetes",
            self.count
        );
        Error::Spec { field: "gpus", value: self.to_string(), remedy }
    }
}

impl FromStr for GpuType {
    type Err = InvalidGpuType;

    fn from_str(text: &str) -> Result<Self, InvalidGpuType> {
        let invalid = || InvalidGpuType { text: text.to_owned() };
        let (name, count) = match text.split_once(':') {
            None => (text, 1),
            Some((name, count)) => (name, count.parse().map_err(|_| invalid())?),
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let is_name = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(fits)
            && name.bytes().any(|b| b.is_ascii_alphabetic())
            && !name.starts_with('-')
            && name != ALL;
        if is_name && count > 0 {
            Ok(Self { name: name.to_owned(), count })
        } else {
            Err(invalid())
        }
    }
}

/// As it is written: the number is left out where it is 1.
impl fmt::Display for GpuType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str(&self.name),
            count => write!(f, "{}:{count}", self.name),
        }
    }
}

impl TryFrom<String> for GpuType {
    type Error = InvalidGpuType;

    fn try_from(text: String) -> Result<Self, InvalidGpuType> {
        text.parse()
    }
}

impl From<GpuType> for String {
    fn from(cards: GpuType) -> Self {
        cards.to_string()
    }
}

/// A text that names no type of graphics cards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no type of graphics cards: give TYPE or TYPE:N, as in A100 or H100:2, with letters, \
     digits, '-', '_' and '.'"
)]
pub struct InvalidGpuType {
    /// The text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_stands_alone_or_with_a_number() {
        for (text, name, count) in
            [("A100", "A100", 1), ("H100:2", "H100", 2), ("1g.10gb:7", "1g.10gb", 7)]
        {
            let cards: GpuType = text.parse().unwrap();
            assert_eq!((cards.name(), cards.count()), (name, count));
            assert_eq!(cards.to_string(), text);
            let json = serde_json::to_string(&cards).unwrap();
            assert_eq!(serde_json::from_str::<GpuType>(&json).unwrap(), cards);
        }
        assert_eq!("A100:1".parse::<GpuType>().unwrap().to_string(), "A100");
        for bad in
            ["", "2", "A100:0", "A100:", "A100:x", "a:1:2", ":2", "-a", "a b", "0,1", "a=b", "all"]
        {
            let error = bad.parse::<GpuType>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("H100:2"), "{error}");
        }
    }
}
