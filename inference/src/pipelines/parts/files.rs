//! The folder's files, checked before anything is loaded.

use crate::folder::{Contents, Folder};
use crate::pipelines::Error;
use crate::session::onnx;

/// What the checked files are.
pub(in crate::pipelines) struct Files {
    pub(in crate::pipelines) contents: Contents,
    /// Bytes of graphs and weights.
    pub(in crate::pipelines) bytes: u64,
}

/// Checks the files of every graph, that the `other` parts exist, and the manifest.
pub(in crate::pipelines) fn check_files(
    folder: &Folder,
    graphs: &[&str],
    other: &[&str],
) -> Result<Files, Error> {
    let (mut external, mut bytes) = (Vec::new(), 0);
    for part in graphs {
        match onnx::check(folder.root(), &folder.graph(part)?) {
            Ok(files) => {
                bytes += files.bytes;
                external.extend(files.external);
            }
            Err(error) => folder.meet(part, error)?,
        }
    }
    for part in other {
        folder.path(part).map(drop).or_else(|error| folder.meet(part, error))?;
    }
    let parts: Vec<_> = graphs.iter().chain(other).copied().collect();
    let contents = folder.contents(&parts, &external)?;
    Ok(Files { contents, bytes })
}
