//! Which component of a folder an error is about.

use std::path::Path;

use super::folder;

use crate::chain::chain;
use crate::model::Error;

/// The component of the folder at `root` that an error is about; `.` for the whole.
pub(super) fn component_of(error: &Error, root: &Path) -> String {
    let first = |place: &str| {
        let name = place.split(['/', ':', ' ', ';']).next().unwrap_or_default();
        if name.is_empty() || name.contains('.') { ".".to_owned() } else { name.to_owned() }
    };
    let text = match error {
        Error::Scheduler(_) => return "scheduler".to_owned(),
        Error::Model { place, .. } => return first(place),
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
