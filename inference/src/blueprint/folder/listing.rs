//! Every file beneath a folder, within bounds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::Error;

/// Folders of models are two deep.
const MAX_DEPTH: usize = 16;
/// And have some dozens of files, or one for each weight; what is hidden counts as well.
const MAX_ENTRIES: usize = 100_000;
/// And about a dozen folders. Links can make few folders many: each way to one counts.
const MAX_FOLDERS: usize = 2048;

/// Paths of the files beneath `root`, relative to it, with `/` between their parts, in order. What
/// is hidden (names that begin with a dot) is left out; links to folders are followed while they
/// stay beneath `root`.
pub(super) fn files(root: &Path) -> Result<Vec<String>, Error> {
    if !root.is_dir() {
        return Err(Error::NoFolder { path: root.to_owned(), is_file: root.is_file() });
    }
    let real = root.canonicalize().map_err(|source| io(root, source))?;
    let mut walk = Walk { root, found: Vec::new(), entries: 0, folders: 0 };
    walk.folder("", &mut vec![real])?;
    walk.found.sort();
    Ok(walk.found)
}

fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

fn refused(path: &Path, reason: String) -> Error {
    Error::Unusable { path: path.to_owned(), reason }
}

/// A walk over the folder `root`.
struct Walk<'a> {
    root: &'a Path,
    found: Vec<String>,
    /// Files and folders that were met so far.
    entries: usize,
    /// Of these the folders that were listed.
    folders: usize,
}

impl Walk<'_> {
    /// Lists the folder `within` of the root; `above` are the real paths of those above it.
    fn folder(&mut self, within: &str, above: &mut Vec<PathBuf>) -> Result<(), Error> {
        let folder = self.root.join(within);
        self.folders += 1;
        if self.folders > MAX_FOLDERS {
            let reason = format!(
                "there are more than {MAX_FOLDERS} ways to its folders; a model's folder has no \
                 links that lead to each other (cp -rL resolves links)"
            );
            return Err(refused(self.root, reason));
        }
        for entry in std::fs::read_dir(&folder).map_err(|source| io(&folder, source))? {
            let path = entry.map_err(|source| io(&folder, source))?.path();
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                let reason = format!(
                    "it has more than {MAX_ENTRIES} files and folders; leave the model's alone in it"
                );
                return Err(refused(self.root, reason));
            }
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                return Err(refused(&path, "its name is not UTF-8; rename it".to_owned()));
            };
            if name.starts_with('.') {
                continue;
            }
            let name = if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
            if !path.is_dir() {
                self.found.push(name);
                continue;
            }
            let real = path.canonicalize().map_err(|source| io(&path, source))?;
            if above.len() > MAX_DEPTH || above.contains(&real) {
                let reason = "its folders lead into themselves, or too deep; remove the link";
                return Err(refused(&path, reason.to_owned()));
            }
            if !real.starts_with(&above[0]) {
                let target = real.display();
                let reason =
                    format!("it leads out of the folder to {target} (cp -rL resolves links)");
                return Err(refused(&path, reason));
            }
            above.push(real);
            self.folder(&name, above)?;
            above.pop();
        }
        Ok(())
    }
}

/// What is known of files by their real paths: each is read once, however many links lead to it.
#[derive(Debug, Default)]
pub(super) struct FileDigests(HashMap<PathBuf, String>);

impl FileDigests {
    /// What is known of the file at `path`, or else what `read` says of it.
    pub(super) fn or(
        &mut self,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<String, Error>,
    ) -> Result<String, Error> {
        let real = path.canonicalize().map_err(|source| io(path, source))?;
        if let Some(known) = self.0.get(&real) {
            return Ok(known.clone());
        }
        let fresh = read(path)?;
        self.0.insert(real, fresh.clone());
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::blueprint::folder::Manifest;
    use crate::progress::Progress;

    fn refusal(root: &Path) -> String {
        files(root).map(|found| found.len()).unwrap_err().to_string()
    }

    #[test]
    fn a_farm_of_links_is_refused_and_not_walked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        // Each of a dozen folders has a dozen links to the next: 12^12 ways to the last.
        for level in 0..12 {
            fs::create_dir(root.join(format!("level_{level}"))).unwrap();
            for link in (0..12).filter(|_| level < 11) {
                let target = format!("../level_{}", level + 1);
                symlink(target, root.join(format!("level_{level}/{link}"))).unwrap();
            }
        }
        let refusal = refusal(root);
        assert!(refusal.contains("more than 2048 ways to its folders"), "{refusal}");
        assert!(refusal.contains("cp -rL"), "{refusal}");
    }

    #[test]
    fn links_are_followed_within_the_folder_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("model");
        fs::create_dir_all(root.join("shared/deep")).unwrap();
        fs::write(root.join("shared/deep/file"), "").unwrap();
        symlink("shared", root.join("unet")).unwrap();
        assert_eq!(files(&root).unwrap(), ["shared/deep/file", "unet/deep/file"]);
        symlink("..", root.join("shared/up")).unwrap();
        assert!(refusal(&root).contains("lead into themselves"));
        fs::remove_file(root.join("shared/up")).unwrap();
        symlink(folder.path(), root.join("out")).unwrap();
        assert!(refusal(&root).contains("it leads out of the folder to"));
    }

    #[test]
    fn hidden_files_count_and_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();
        fs::write(folder.path().join("shown"), "").unwrap();
        assert_eq!(files(folder.path()).unwrap(), ["shown"]);
    }

    #[test]
    fn a_link_to_nothing_is_said_and_what_many_links_lead_to_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("weights"), [7; 1000]).unwrap();
        for link in 0..20 {
            symlink("weights", root.join(format!("link_{link}"))).unwrap();
        }
        let progress = Progress::default();
        assert_eq!(Manifest::make(root, &progress).unwrap().len(), 21);
        // A 21st of what is expected to be read.
        assert_eq!(progress.percent(), 4);
        symlink("gone", root.join("nothing")).unwrap();
        let refusal = Manifest::make(root, &progress).unwrap_err().to_string();
        assert!(
            refusal
                .ends_with("nothing: it is a link to nothing; remove it, or copy what it leads to")
        );
    }
}
