//! Families of models, told apart by the pipeline class that a folder names.

use std::path::Path;

use hearth_api::request::Task;

use super::draft::Draft;
use super::folder::Error as FolderError;
use super::reader::Reader;
use crate::model::Error;

/// A family of models: which folders are of it, and how they are read.
#[derive(Debug)]
pub struct Family {
    /// Its name in descriptions and listings.
    pub name: &'static str,
    /// The pipeline classes that its folders name; none for folders of one graph.
    pub classes: &'static [&'static str],
    /// What its models do. A folder may do less.
    pub tasks: &'static [Task],
    /// Reads a folder of it.
    pub(crate) read: fn(&Reader<'_>) -> Result<Draft, Error>,
}

/// Exports have a class with a prefix; the oldest ones of diffusers have `Onnx` in the middle, or
/// `Legacy` at the end.
const PREFIXES: [&str; 2] = ["ORT", "Onnx"];

/// The family of the folder at `root`, of which `class` is the pipeline class.
///
/// # Errors
/// [`FolderError::UnknownFamily`] names the classes that there are.
pub(super) fn find(
    families: &[&'static Family],
    root: &Path,
    class: Option<&str>,
) -> Result<&'static Family, FolderError> {
    let found = match class {
        None => families.iter().find(|family| family.classes.is_empty()),
        Some(class) => {
            let plain = plain(class);
            families.iter().find(|family| family.classes.contains(&plain.as_str()))
        }
    };
    found.copied().ok_or_else(|| {
        let class = class.unwrap_or_default().to_owned();
        let known: Vec<_> = families.iter().flat_map(|family| family.classes).copied().collect();
        FolderError::UnknownFamily {
            folder: root.to_owned(),
            why: why_unknown(&class),
            known: known.join(", "),
            class,
        }
    })
}

/// The class as diffusers has it.
pub(crate) fn plain(class: &str) -> String {
    let plain = PREFIXES.iter().find_map(|prefix| class.strip_prefix(prefix)).unwrap_or(class);
    let plain = plain.replace("OnnxPipeline", "Pipeline");
    plain.strip_suffix("Legacy").unwrap_or(&plain).to_owned()
}

/// What more there is to say of a class of no family, in brackets.
fn why_unknown(class: &str) -> &'static str {
    match class {
        class if class.contains("ControlNetUnion") => {
            " (a union ControlNet and its control_mode can't be exported; make a folder with a \
             ControlNet for each kind of picture: python -m export.controlnet)"
        }
        class if class.contains("ControlNet") => {
            " (ControlNets go with Stable Diffusion 1.x, 2.x and XL)"
        }
        _ => "",
    }
}
