//! Looks at a model folder without ONNX Runtime: what it can do, and all that is wrong with it.
//!
//! A survey is a load whose sessions are only read from their files, and that goes on after a fault
//! where it can. So it says what a load would say, and a load looks first: a wrong graph is refused
//! before gigabytes of others are read. What only ONNX Runtime knows (operators, shapes within a
//! graph) is found when the model is loaded.

mod index;
mod report;

use std::path::Path;
use std::sync::Arc;

pub use self::report::{Report, inspect};
use super::{Description, Error, LoadOptions};
use crate::findings::{Findings, Problem, chain};
use crate::folder::{self, Folder};
use crate::session::Runtime;

/// Problems that one line lists; a look at the folder has the others.
const LISTED: usize = 12;

/// What was seen of a folder.
struct Seen {
    findings: Findings,
    description: Option<Arc<Description>>,
}

/// Refuses a folder in which something is wrong.
///
/// # Errors
/// [`Error::Unfit`] says all of it.
pub(super) fn check(folder: &Folder, options: &LoadOptions) -> Result<(), Error> {
    let problems = look(folder, options).findings.found().problems();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::Unfit { folder: folder.root().to_owned(), problems }),
    }
}

fn look(folder: &Folder, options: &LoadOptions) -> Seen {
    let findings = Findings::default();
    let noting = folder.clone().noting(findings.clone());
    let opened = super::open(&Runtime::reading(findings.clone()), &noting, options);
    let description = match opened {
        Ok(pipeline) => Some(Arc::clone(pipeline.description())),
        Err(error) => {
            let part = part_of(&error, folder.root());
            // A fault of a graph may only follow from one that was noted.
            let follows = matches!(&error, Error::Session(_)) && findings.has(&part);
            if !follows {
                findings.add(&part, chain(&error));
            }
            // It has ended before everything was seen; files at least are looked at on their own.
            index::look(&noting, &findings);
            None
        }
    };
    Seen { findings, description }
}

/// The part of the folder that an error is about; `.` for the whole.
fn part_of(error: &Error, root: &Path) -> String {
    let first = |place: &str| {
        let part = place.split(['/', ':', ' ', ';']).next().unwrap_or_default();
        if part.is_empty() || part.contains('.') { ".".to_owned() } else { part.to_owned() }
    };
    let text = match error {
        Error::Scheduler(_) => return "scheduler".to_owned(),
        Error::Model { part, .. } => return first(part),
        Error::Folder(
            folder::Error::Missing { what, .. } | folder::Error::OtherName { what, .. },
        ) => return first(what),
        other => chain(other),
    };
    let root = root.display().to_string();
    match text.split_once(&format!("{root}/")) {
        Some((before, place)) if before.is_empty() || before.ends_with(' ') => first(place),
        _ => match text.split_once(": ").map_or(text.as_str(), |(place, _)| place) {
            place if place == root => ".".to_owned(),
            place => first(place),
        },
    }
}

/// What is wrong, in one line.
pub(super) fn listed(folder: &Path, problems: &[Problem]) -> String {
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
