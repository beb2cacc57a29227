//! Links that lead out of a folder: nothing that they lead to is read, unless the folder's owner allows
//! it.

use std::path::Path;

use super::error::Error;
use super::inside;
use crate::enclosure::Enclosure;

/// Refuses a file that lies elsewhere.
pub(super) fn check(path: &Path, enclosure: &Enclosure) -> Result<(), Error> {
    let real = path.canonicalize();
    let real = real.map_err(|source| Error::Io { path: path.to_owned(), source })?;
    match enclosure.holds(&real) {
        true => Ok(()),
        false => Err(Error::LeadsOut { path: path.to_owned(), target: real, others: 0 }),
    }
}

/// Refuses the files directly in `root`, and in its folders of these names, that lie elsewhere: the
/// first is named and the others are counted.
pub(super) fn check_all<'a>(
    root: &Path,
    folders: impl Iterator<Item = &'a str>,
    enclosure: &Enclosure,
) -> Result<(), Error> {
    let mut outside = Vec::new();
    for folder in [""].into_iter().chain(folders) {
        let folder = root.join(folder);
        if !folder.is_dir() {
            continue;
        }
        let mut files = inside::files(&folder)?;
        files.sort();
        for file in files {
            match check(&folder.join(file), enclosure) {
                Ok(()) => {}
                Err(Error::LeadsOut { path, target, .. }) => outside.push((path, target)),
                Err(other) => return Err(other),
            }
        }
    }
    let others = outside.len().saturating_sub(1);
    match outside.into_iter().next() {
        None => Ok(()),
        Some((path, target)) => Err(Error::LeadsOut { path, target, others }),
    }
}
