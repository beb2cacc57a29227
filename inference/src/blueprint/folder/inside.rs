//! The files directly in a folder: graphs, and weights that are none.

use std::path::{Path, PathBuf};

use super::error::Error;

/// What a graph's file is called.
pub(super) const MODEL: &str = "model.onnx";
/// A component has a few files, or one for each of its weights.
const MAX_FILES: usize = 20_000;
/// Extensions of the weights that PyTorch reads.
const PYTORCH: [&str; 5] = ["safetensors", "bin", "ckpt", "pt", "pth"];

/// The names of the files directly in `folder`.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for (count, entry) in std::fs::read_dir(folder).map_err(io)?.enumerate() {
        let entry = entry.map_err(io)?;
        if count == MAX_FILES {
            let reason =
                format!("it holds more than {MAX_FILES} files; remove what isn't the model's");
            return Err(Error::Unusable { path: folder.to_owned(), reason });
        }
        if entry.path().is_file() {
            names.push(PathBuf::from(entry.file_name()));
        }
    }
    Ok(names)
}

/// Whether there is a graph in it.
pub(super) fn has_graph(folder: &Path) -> bool {
    folder.join(MODEL).is_file()
}

/// Whether there are weights of PyTorch in it.
pub(super) fn holds_pytorch(folder: &Path) -> bool {
    files(folder).is_ok_and(|files| {
        files.iter().any(|file| {
            let extension = file.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| PYTORCH.contains(&extension))
        })
    })
}
