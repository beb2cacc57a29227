//! How an item of a request ended.

use serde::{Deserialize, Serialize};

/// How an item of a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// With a result.
    Done,
    /// The caller cancelled it.
    Cancelled,
    /// Its deadline passed.
    Deadline,
    /// It failed.
    Error,
}
