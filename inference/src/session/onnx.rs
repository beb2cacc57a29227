//! Checks an ONNX file before ONNX Runtime sees it.
//!
//! ONNX Runtime maps files of weights as the graph says, wherever they lie and however short they
//! are. So the file is walked first, field by field and without reading the weights: it must be
//! whole, and each file of weights must lie beneath the model's folder and hold the range that is
//! asked of it. What the graph says of itself is taken down on the way ([`Header`]), so that a model
//! can be looked at without ONNX Runtime; whether it makes sense is ONNX Runtime's business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};

use super::Error;
use super::header::Header;
use super::walk::{Fault, Message, Walk};
use crate::brief::{MESSAGE, VALUE, brief};
use crate::enclosure::{Enclosure, REMEDY};
use crate::files;

/// What protobuf can read at once, and so ONNX Runtime.
const MAX_MODEL: u64 = i32::MAX as u64;
/// What is said of a Git LFS pointer in the model's place.
const POINTER: &str = "a Git LFS pointer instead of the model; run: git lfs pull";

/// What a model consists of on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The files of weights that the graph refers to, in order of name: beside the model, as ONNX
    /// Runtime looks for them.
    pub external: Vec<PathBuf>,
    /// Bytes of the model file and of those, together.
    pub bytes: u64,
    /// What the graph says of itself.
    pub header: Header,
}

impl Files {
    /// Whether the weights lie in the model's folder themselves: of a graph that is given from memory
    /// ONNX Runtime takes them from nowhere else.
    pub(super) fn are_beside(&self, model: &Path) -> bool {
        let folder = model.parent().map(Path::canonicalize).and_then(Result::ok);
        self.external.iter().all(|file| {
            let real = file.canonicalize().ok();
            real.zip(folder.as_ref()).is_some_and(|(real, folder)| real.starts_with(folder))
        })
    }
}

/// Checks the model at `model` and its files of weights, all of which must lie in `enclosure`.
///
/// # Errors
/// [`Error::Io`] if the model can't be read, [`Error::ModelFile`] for everything else, naming the
/// file at fault.
pub fn check(enclosure: &Enclosure, model: &Path) -> Result<Files, Error> {
    let io = |source| Error::Io { path: model.to_owned(), source };
    let bad = |reason: String| Error::ModelFile { path: model.to_owned(), reason };

    let real = model.canonicalize().map_err(io)?;
    if !enclosure.holds(&real) {
        return Err(bad(outside(&real)));
    }
    if !real.is_file() {
        return Err(bad("it is not a file; copy or export it again".to_owned()));
    }
    let file = File::open(&real).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length == 0 {
        return Err(bad("it is empty; copy or export it again".to_owned()));
    }
    if length > MAX_MODEL {
        return Err(bad(format!(
            "it has {length} bytes, an ONNX file has at most {MAX_MODEL}; export it with its weights \
             in other files"
        )));
    }
    let mut walk = Walk::new(BufReader::new(file));
    if files::is_lfs_pointer(walk.begin().map_err(io)?) {
        return Err(bad(POINTER.to_owned()));
    }
    let graphs = walk.message(Message::Model, length, 0).map_err(|fault| match fault {
        Fault::Io(source) => io(source),
        Fault::Malformed(reason) => bad(format!(
            "truncated or not an ONNX model ({reason}; the file has {length} bytes); \
             copy or export it again"
        )),
    })?;
    if graphs == 0 {
        return Err(bad("not an ONNX model: it holds no graph".to_owned()));
    }

    let folders = WeightFolders::of(model, &real).map_err(io)?;
    let mut sizes = BTreeMap::new();
    for (location, range) in &walk.references {
        let path = folders.resolve(location, enclosure).map_err(&bad)?;
        let size = match sizes.get(&path) {
            Some(&size) => size,
            None => std::fs::metadata(&path)
                .map_err(|source| Error::Io { path: path.clone(), source })?
                .len(),
        };
        if range.end().is_none_or(|end| end > size) {
            if files::starts_as_lfs_pointer(&path) {
                return Err(Error::ModelFile { path, reason: POINTER.to_owned() });
            }
            return Err(Error::ModelFile {
                path,
                reason: format!(
                    "truncated: the model needs bytes {} to {}, it has {size}; copy it again",
                    range.offset,
                    range.end().unwrap_or(u64::MAX),
                ),
            });
        }
        sizes.insert(path, size);
    }
    let bytes = sizes.values().fold(length, |sum, size| sum.saturating_add(*size));
    Ok(Files { external: sizes.into_keys().collect(), bytes, header: walk.notes.header() })
}

fn outside(path: &Path) -> String {
    format!("it leads out of the model's folder to {}; {REMEDY}", path.display())
}

/// Where ONNX Runtime looks for a graph's weights: beside the path that it was given. It takes them
/// from the folder of that path, and, where the graph is a link, from that of the graph itself.
struct WeightFolders<'a> {
    beside: &'a Path,
    folders: [PathBuf; 2],
}

impl<'a> WeightFolders<'a> {
    fn of(model: &'a Path, real: &Path) -> std::io::Result<Self> {
        let beside = match model.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let own = real.parent().unwrap_or(beside).to_owned();
        Ok(Self { beside, folders: [beside.canonicalize()?, own] })
    }

    /// The file at `location`, which must lie in `enclosure`.
    fn resolve(&self, location: &str, enclosure: &Enclosure) -> Result<PathBuf, String> {
        let given = Path::new(location);
        let mut parts = given.components();
        let plain = parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !plain || location.contains('\0') {
            let location = brief(location.to_owned(), VALUE);
            return Err(format!(
                "it keeps weights in {location:?}, which is not a path beneath the model's folder"
            ));
        }
        let path = self.beside.join(given);
        let real = path.canonicalize().map_err(|error| {
            let path = brief(path.display().to_string(), MESSAGE);
            format!("its weights file {path} can't be read: {error}")
        })?;
        if !enclosure.holds(&real) {
            return Err(outside(&real));
        }
        match self.folders.iter().any(|folder| real.starts_with(folder)) {
            true => Ok(path),
            false => Err(format!(
                "its weights file leads to {}, and ONNX Runtime takes none from there; copy the folder \
                 with its links resolved (cp -rL)",
                real.display()
            )),
        }
    }
}

#[cfg(test)]
#[path = "onnx_tests.rs"]
mod tests;
