//! What is found while a folder is looked at, where the first fault must not be the last.
//!
//! Whoever can go on after a fault [notes](Findings::note) it here and goes on; the same code stops
//! at it where a model is loaded.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Something wrong with a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The folder's part, such as `unet`; `.` for the folder as a whole.
    pub part: String,
    /// What is wrong, with file and remedy.
    pub message: String,
}

/// A graph of a folder, as its file says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The part, such as `unet`.
    pub part: String,
    /// Bytes of the graph and its weights on disk.
    pub bytes: u64,
    /// Element type of most of its weights.
    pub precision: Option<&'static str>,
    /// Its inputs, as in `sample float32 [?, 4, ?, ?]`.
    pub inputs: Vec<String>,
    /// Its outputs, likewise.
    pub outputs: Vec<String>,
}

/// A list that all who look at one folder share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings(Arc<Mutex<Found>>);

/// What was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) problems: Vec<Problem>,
    pub(crate) parts: Vec<Part>,
    /// The files that the pipeline uses, relative to the folder.
    pub(crate) used: BTreeSet<PathBuf>,
}

impl Findings {
    /// Takes a fault down, with its causes; what is there already is not said twice.
    pub(crate) fn note(&self, part: &str, error: &dyn Error) {
        self.add(part, chain(error));
    }

    pub(crate) fn add(&self, part: &str, message: String) {
        self.with(|found| {
            if found.problems.iter().all(|problem| problem.message != message) {
                found.problems.push(Problem { part: part.to_owned(), message });
            }
        });
    }

    /// Whether something is known to be wrong with the part: what follows from it is not said.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.with(|found| found.problems.iter().any(|problem| problem.part == part))
    }

    /// Takes a graph down.
    pub(crate) fn part(&self, part: Part) {
        self.with(|found| found.parts.push(part));
    }

    /// Takes the files down that the pipeline uses.
    pub(crate) fn uses(&self, files: BTreeSet<PathBuf>) {
        self.with(|found| found.used.extend(files));
    }

    /// All of it, so far.
    pub(crate) fn found(&self) -> Found {
        self.with(|found| found.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Found) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
