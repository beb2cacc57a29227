//! What is wrong with a folder: the first fault is not the last that is said.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use serde::Serialize;

use crate::brief::{self, brief};
use crate::chain::chain;

/// Faults that are told; of the others only how many there are.
const TOLD: usize = 100;
/// Problems that one line lists; a look at the folder has the others.
const LISTED: usize = 12;

/// Something wrong with a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The folder's component, such as `unet`; `.` for the folder as a whole.
    #[serde(rename = "part")]
    pub component: String,
    /// What is wrong, with file and remedy.
    pub message: String,
}

/// All that is wrong with one folder, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Log>);

#[derive(Debug, Default)]
struct Log {
    /// The first ones.
    first: Vec<Problem>,
    /// All of them, as hashes of what they say.
    said: HashSet<u64>,
    /// The components that they are about.
    faulty: BTreeSet<String>,
}

impl Problems {
    /// Notes a fault with its causes; what is there already is not said twice.
    pub(crate) fn note(&self, component: &str, error: &dyn Error) {
        self.add(component, chain(error));
    }

    pub(crate) fn add(&self, component: &str, message: String) {
        let message = brief(message, brief::MESSAGE);
        let mut noted = self.0.borrow_mut();
        if !noted.faulty.contains(component) {
            noted.faulty.insert(component.to_owned());
        }
        if noted.said.insert(hash(&message)) && noted.said.len() <= TOLD {
            noted.first.push(Problem { component: component.to_owned(), message });
        }
    }

    /// Whether something is known to be wrong with the component: what follows from it is not said.
    pub(crate) fn has(&self, component: &str) -> bool {
        self.0.borrow().faulty.contains(component)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().said.is_empty()
    }

    /// What is wrong: the first faults, and how many more there are.
    pub(crate) fn list(&self) -> Vec<Problem> {
        let noted = self.0.borrow();
        let mut problems = noted.first.clone();
        match noted.said.len() - problems.len() {
            0 => {}
            more => problems.push(Problem {
                component: ".".to_owned(),
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

/// What is wrong, in one line.
pub(crate) fn listed(folder: &Path, problems: &[Problem]) -> String {
    if let [one] = problems {
        return one.message.clone();
    }
    let (count, folder) = (problems.len(), folder.display());
    let first: Vec<_> =
        problems.iter().take(LISTED).map(|problem| problem.message.as_str()).collect();
    let more = match count - first.len() {
        0 => String::new(),
        more => format!("; and {more} more: hearth model inspect {folder}"),
    };
    format!("{count} problems in {folder}: {}{more}", first.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_faults_are_told_and_the_others_counted() {
        let noted = Problems::default();
        for number in 0..10 * TOLD {
            let component = format!("part_{number}");
            noted.add(&component, format!("{component} is wrong"));
            noted.add("again", format!("{component} is wrong"));
            assert!(noted.has(&component));
        }
        noted.add("long", "x".repeat(100_000));
        let problems = noted.list();
        assert_eq!(problems.len(), TOLD + 1);
        assert_eq!(problems[TOLD].message, "and 901 more problems; mend these first");
        let one = Problems::default();
        one.add("long", "x".repeat(100_000));
        assert!(one.list()[0].message.len() <= brief::MESSAGE);
    }
}
