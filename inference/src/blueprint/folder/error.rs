//! What can be wrong with a model folder; each message names the file and the remedy.

use std::path::PathBuf;

use crate::brief::{VALUE, brief};
use crate::enclosure::REMEDY;

/// Why a model folder can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing there, or a single file.
    #[error(
        "{} {}; give a folder made by optimum-cli export onnx",
        path.display(), if *is_file { "is a file" } else { "doesn't exist" }
    )]
    NoFolder {
        /// The path as given.
        path: PathBuf,
        /// Whether it is a file.
        is_file: bool,
    },
    /// A folder of something else.
    #[error(
        "{} is not a diffusers folder: model_index.json is missing; \
         give a folder made by optimum-cli export onnx", folder.display()
    )]
    NotAnExport {
        /// The folder.
        folder: PathBuf,
    },
    /// A diffusers folder before its export.
    #[error(
        "{0} holds PyTorch weights, not ONNX. Export: optimum-cli export onnx --model {0} {0}-onnx",
        folder.display()
    )]
    PyTorch {
        /// The folder.
        folder: PathBuf,
    },
    /// A pipeline class that can't be run.
    #[error(
        "{}: pipeline class {} is not supported yet{why}; known: {known}",
        folder.display(), brief(class.clone(), VALUE)
    )]
    UnknownFamily {
        /// The folder.
        folder: PathBuf,
        /// The class in its `model_index.json`.
        class: String,
        /// What more there is to say of it, in brackets.
        why: &'static str,
        /// The classes that there are.
        known: String,
    },
    /// A component of the export isn't there.
    #[error("{} lacks {what}; copy or export the folder again", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file, relative to it.
        what: String,
    },
    /// A graph has a name that nobody asks for.
    #[error(
        "{} lacks {what} and has {found}; rename that one if it is to be used",
        folder.display()
    )]
    OtherName {
        /// The folder.
        folder: PathBuf,
        /// The graph, relative to it.
        what: String,
        /// The one that is there.
        found: String,
    },
    /// Links lead out of the folder.
    #[error(
        "{}: it leads out of the model's folder to {}{}; {REMEDY}", path.display(), target.display(),
        more(*others)
    )]
    LeadsOut {
        /// The link, or the first of them.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// How many other files do.
        others: usize,
    },
    /// A file can't be read.
    #[error("{} can't be read{}", path.display(), crate::files::right(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file isn't the JSON we expect.
    #[error("{} can't be parsed; mend or restore it: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with line and column.
        reason: String,
    },
    /// A file of the folder itself says what no model has.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The key, its value and the remedy.
        reason: String,
    },
    /// A file isn't what `manifest.json` says.
    #[error(
        "{}: {reason}; copy the folder again, or make a new manifest: hearth model manifest --force",
        path.display()
    )]
    Digest {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => ", and so does another file".to_owned(),
        others => format!(", and so do {others} other files"),
    }
}
