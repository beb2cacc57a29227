//! Every file beneath a folder, within bounds.

use std::path::{Path, PathBuf};

use super::Error;

/// Folders of models are two deep.
const MAX_DEPTH: usize = 16;
/// And have some dozens of files.
const MAX_FILES: usize = 100_000;

/// Paths of the files beneath `root`, relative to it, with `/` between their parts, in order. What
/// is hidden (names that begin with a dot) is left out; links to folders are followed while they
/// stay beneath `root`.
pub(super) fn files(root: &Path) -> Result<Vec<String>, Error> {
    if !root.is_dir() {
        return Err(Error::NoFolder { path: root.to_owned(), is_file: root.is_file() });
    }
    let real = root.canonicalize().map_err(|source| io(root, source))?;
    let mut found = Vec::new();
    walk(root, "", &mut vec![real], &mut found)?;
    found.sort();
    Ok(found)
}

fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

/// Lists the folder `within` of `root`; `above` are the real paths of those above it.
fn walk(
    root: &Path,
    within: &str,
    above: &mut Vec<PathBuf>,
    found: &mut Vec<String>,
) -> Result<(), Error> {
    let folder = root.join(within);
    let refused = |path: &Path, reason: String| Error::Digest { path: path.to_owned(), reason };
    for entry in std::fs::read_dir(&folder).map_err(|source| io(&folder, source))? {
        let path = entry.map_err(|source| io(&folder, source))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(refused(&path, "its name is not UTF-8; rename it".to_owned()));
        };
        if name.starts_with('.') {
            continue;
        }
        let name = if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
        if !path.is_dir() {
            if found.len() == MAX_FILES {
                return Err(refused(root, format!("it has more than {MAX_FILES} files")));
            }
            found.push(name);
            continue;
        }
        let real = path.canonicalize().map_err(|source| io(&path, source))?;
        if above.len() > MAX_DEPTH || above.contains(&real) {
            return Err(refused(&path, "its folders lead into themselves".to_owned()));
        }
        if !real.starts_with(&above[0]) {
            let target = real.display();
            let reason = format!("it leads out of the folder to {target} (cp -rL resolves links)");
            return Err(refused(&path, reason));
        }
        above.push(real);
        walk(root, &name, above, found)?;
        above.pop();
    }
    Ok(())
}
