//! `logs`: the last lines of a worker's log.

use std::fmt;

use serde::{Deserialize, Serialize};

use hearth_api::Incarnation;

/// The arguments of `logs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogsArgs {
    /// Lines behind the one of this number; the last ones where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The run whose lines `after` counts. Those of another run are all behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// How many lines at most. Where so many don't fit into one answer, the first of them come.
    pub lines: u32,
    /// Milliseconds to wait for the first line while there is none.
    pub wait_ms: u32,
}

impl Default for LogsArgs {
    fn default() -> Self {
        Self { after: None, incarnation: None, lines: 100, wait_ms: 0 }
    }
}

/// The value of `logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsValue {
    /// The run whose lines these are.
    pub incarnation: Incarnation,
    /// The number of the newest line that it has written; 0 before the first.
    pub newest: u64,
    /// How many lines behind `after` are not kept any more.
    pub lost: u64,
    /// The lines, the oldest first.
    pub lines: Vec<LogLine>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number in its run, from 1.
    pub number: u64,
    /// When it was written, in milliseconds since 1970 (UTC), by the worker's clock.
    pub time_ms: u64,
    /// Its level.
    pub level: LogLevel,
    /// Where it comes from and what it says.
    pub text: String,
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something has failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What happens.
    Info,
    /// In detail.
    Debug,
    /// In every detail.
    Trace,
    /// A level of a newer version.
    #[serde(other)]
    Unknown,
}

/// As a log has it, in capitals.
impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
            Self::Unknown => "?",
        })
    }
}
