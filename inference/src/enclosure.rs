//! Where the files of a model's folder may lie: beneath it, and where its owner lets links lead.

use std::path::{Path, PathBuf};

/// What is said of a link that leads out, after where it leads.
pub(crate) const REMEDY: &str = "copy the folder with its links resolved (cp -rL), or name the folder \
                                 that they may lead to in worker.allow_links_to";

/// A model's folder, and the folders that links in it may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosure(Vec<PathBuf>);

impl Enclosure {
    /// The folder at `root`, with `links` beside it. One that isn't there holds nothing.
    #[must_use]
    pub fn new(root: &Path, links: &[PathBuf]) -> Self {
        let folders = [root].into_iter().chain(links.iter().map(PathBuf::as_path));
        Self(folders.filter_map(|folder| folder.canonicalize().ok()).collect())
    }

    /// Whether a file of that real path may be read.
    #[must_use]
    pub fn holds(&self, real: &Path) -> bool {
        self.0.iter().any(|folder| real.starts_with(folder))
    }
}
