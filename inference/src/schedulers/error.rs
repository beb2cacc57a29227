//! What can be wrong with a scheduler's config, name or run; each message names the field, its
//! value and the remedy.

use std::fmt::Display;

use crate::brief::{VALUE, brief};

/// Why no scheduler could be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The config is not a JSON object (Python's bare `Infinity` and `NaN` are understood).
    #[error("scheduler config: {0}; restore the file from the model's export")]
    NotAConfig(String),

    /// A key that no scheduler of diffusers has.
    #[error("scheduler {}; remove or correct it", self.unknown_key())]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Its value as JSON.
        value: String,
        /// The known key most like it, if one is.
        nearest: Option<String>,
    },

    /// An override that the chosen class doesn't have.
    #[error("scheduler key `{key}` (value {value}) is not one of {class}'s; it has {known}")]
    ForeignKey {
        /// The class that was asked for.
        class: String,
        /// The key as written.
        key: String,
        /// Its value as JSON.
        value: String,
        /// The class's keys.
        known: String,
    },

    /// A value of the wrong type or out of range.
    #[error("`{key}` is {value}; give {expected}")]
    Invalid {
        /// The field.
        key: String,
        /// Its value.
        value: String,
        /// What would do.
        expected: String,
    },

    /// Diffusers rejects this value or combination, or its result has no meaning.
    #[error("{class} can't take `{key}` = {value}: {reason}")]
    Rejected {
        /// The scheduler's class.
        class: String,
        /// The field.
        key: String,
        /// Its value.
        value: String,
        /// Why not, and what to give instead.
        reason: String,
    },

    /// A list or number of the run that the class's `set_timesteps` doesn't take.
    #[error("{class} takes no `{field}`; leave it out, or take one of {takers}")]
    NotTaken {
        /// The scheduler's class.
        class: String,
        /// The field of the run.
        field: String,
        /// Short names of schedulers that take it.
        takers: String,
    },

    /// A name that is neither a known class nor a known short name.
    #[error("unknown scheduler `{name}`{}; known: {known}", did_you_mean(.nearest))]
    Unknown {
        /// The name as written.
        name: String,
        /// The known name most like it, if one is.
        nearest: Option<String>,
        /// All known names.
        known: String,
    },

    /// A snapshot that is not of the run that it is to be restored into.
    #[error("the scheduler's snapshot doesn't fit this run: {0}; start the run from its beginning")]
    Snapshot(String),

    /// A `--scheduler` value that doesn't read as `name:key=value,key=value`.
    #[error("scheduler `{text}`: {problem}; write name or name:key=value,key=value")]
    Syntax {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    /// What is said of a key that no scheduler has, without the remedy; of other errors all.
    pub(super) fn unknown_key(&self) -> String {
        match self {
            Self::UnknownKey { key, value, nearest } => {
                format!("key `{key}` (value {value}) is not known{}", did_you_mean(nearest))
            }
            other => other.to_string(),
        }
    }

    /// An [`Error::Invalid`] for field `key`.
    pub(super) fn invalid(key: &str, value: impl Display, expected: impl Into<String>) -> Self {
        let value = brief(value.to_string(), VALUE);
        Self::Invalid { key: key.into(), value, expected: expected.into() }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (nearest: `{name}`)")).unwrap_or_default()
}
