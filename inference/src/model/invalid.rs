//! A request that a model can't meet.

use std::fmt;

/// A field of a request that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The field, as it is called in requests.
    pub field: &'static str,
    /// The field and its value, what is wrong with it, and the remedy.
    pub message: String,
}

impl Invalid {
    /// A field whose `value`, shortened where it is long, can't be used for the `reason`.
    pub(crate) fn new(
        field: &'static str,
        value: &dyn fmt::Display,
        reason: impl fmt::Display,
    ) -> Self {
        Self { field, message: format!("{field} {value}: {reason}") }
    }
}
