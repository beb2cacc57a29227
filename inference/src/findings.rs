//! What is found while a folder is looked at, where the first fault must not be the last.
//!
//! Whoever can go on after a fault [notes](Findings::note) it here and goes on; the same code stops
//! at it where a model is loaded.

use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::brief::{self, brief};

/// Faults that are told; of the others only how many there are.
const TOLD: usize = 100;

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
    /// The first ones.
    problems: Vec<Problem>,
    /// All of them, as hashes of what they say.
    said: HashSet<u64>,
    /// The parts that they are about.
    faulty: BTreeSet<String>,
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
        let message = brief(message, brief::MESSAGE);
        self.with(|found| {
            if !found.faulty.contains(part) {
                found.faulty.insert(part.to_owned());
            }
            if found.said.insert(hash(&message)) && found.said.len() <= TOLD {
                found.problems.push(Problem { part: part.to_owned(), message });
            }
        });
    }

    /// Whether something is known to be wrong with the part: what follows from it is not said.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.with(|found| found.faulty.contains(part))
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

impl Found {
    /// What is wrong: the first faults, and how many more there are.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.clone();
        match self.said.len() - problems.len() {
            0 => {}
            more => problems.push(Problem {
                part: ".".to_owned(),
                message: format!("and {more} more problems; mend these first"),
            }),
        }
        problems
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_faults_are_told_and_the_others_counted() {
        let findings = Findings::default();
        for number in 0..10 * TOLD {
            let part = format!("part_{number}");
            findings.add(&part, format!("{part} is wrong"));
            findings.add("again", format!("{part} is wrong"));
            assert!(findings.has(&part));
        }
        findings.add("long", "x".repeat(100_000));
        let problems = findings.found().problems();
        assert_eq!(problems.len(), TOLD + 1);
        assert_eq!(problems[TOLD].message, "and 901 more problems; mend these first");
        let one = Findings::default();
        one.add("long", "x".repeat(100_000));
        assert!(one.found().problems()[0].message.len() <= brief::MESSAGE);
    }
}
