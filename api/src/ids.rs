//! Identifiers, checked where they enter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: use 1 to {max} of {allowed}")]
pub struct InvalidId {
    what: &'static str,
    value: String,
    max: usize,
    allowed: &'static str,
}

/// Longest identifier, in bytes.
const MAX: usize = 128;

fn check(
    what: &'static str,
    value: &str,
    extra: &[u8],
    allowed: &'static str,
) -> Result<(), InvalidId> {
    let fits = (1..=MAX).contains(&value.len());
    let clean = value.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b));
    // A name of dots alone would walk out of a folder that is named after it.
    let dots = value.bytes().all(|b| b == b'.');
    if fits && clean && !dots {
        return Ok(());
    }
    let value = value.chars().take(MAX).collect();
    Err(InvalidId { what, value, max: MAX, allowed })
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $extra:literal, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            /// [`InvalidId`] names the text and what is allowed.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidId> {
                let value = value.into();
                check($what, &value, $extra, $allowed)?;
                Ok(Self(value))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(value: &str) -> Result<Self, InvalidId> {
                Self::new(value)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(value: String) -> Result<Self, InvalidId> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

text_id!(
    /// A worker's stable name, from its config.
    WorkerId, "worker id", b"-_.", "letters, digits, '-', '_' and '.'"
);
text_id!(
    /// A named set of workers that serve together.
    Group, "group", b"-_.", "letters, digits, '-', '_' and '.'"
);
text_id!(
    /// The name of an engine that owns workers: the one in its certificate.
    OwnerId, "owner", b"-_.", "letters, digits, '-', '_' and '.'"
);
text_id!(
    /// A request's name, unique to its caller; a part of it is `<id>/<i>`.
    RequestId, "request id", b"-_.:", "letters, digits, '-', '_', '.' and ':'"
);

impl Default for Group {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// A worker's position 0..N-1 in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rank(pub u32);

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of a worker: fresh at each start, so that a reply of an earlier run is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation(u128);

impl Incarnation {
    /// From 128 random bits, which the caller draws.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl TryFrom<String> for Incarnation {
    type Error = InvalidId;
    fn try_from(value: String) -> Result<Self, InvalidId> {
        let hex = value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit());
        match u128::from_str_radix(&value, 16) {
            Ok(bits) if hex => Ok(Self(bits)),
            _ => Err(InvalidId { what: "incarnation", value, max: 32, allowed: "32 hex digits" }),
        }
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> String {
        incarnation.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_would_leave_a_path_or_a_key() {
        for bad in ["", ".", "..", "a/b", "a b", "a\0", &"x".repeat(129)] {
            assert!(WorkerId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(WorkerId::new("node-1.gpu_0").unwrap().as_str(), "node-1.gpu_0");
        let message = WorkerId::new("a/b").unwrap_err().to_string();
        assert!(message.contains("a/b") && message.contains("letters"), "{message}");
    }

    #[test]
    fn incarnation_is_text_of_32_digits() {
        let text = Incarnation::from_bits(7).to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(Incarnation::try_from(text).unwrap(), Incarnation::from_bits(7));
        assert!(Incarnation::try_from("+7".to_owned()).is_err());
    }
}
