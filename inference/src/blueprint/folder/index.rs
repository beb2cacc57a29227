//! `model_index.json`: the folder's pipeline class, and the components that it names.

use std::path::{Component, Path};

use serde_json::{Map, Value};

use super::error::Error;
use super::{inside, json, links};
use crate::brief::{VALUE, brief};
use crate::enclosure::Enclosure;
use crate::files::Text;

/// Its name in the folder.
pub(super) const INDEX: &str = "model_index.json";
/// Pipelines of diffusers have about a dozen components.
const MAX_COMPONENTS: usize = 64;

/// What a folder says of itself as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// The pipeline class; `None` for a folder of one graph, which has no index.
    pub(crate) class: Option<String>,
    entries: Map<String, Value>,
}

/// The file.
#[derive(serde::Deserialize)]
struct File {
    #[serde(rename = "_class_name")]
    class: String,
    #[serde(flatten)]
    entries: Map<String, Value>,
}

impl Index {
    /// Reads the index of the folder at `root`.
    ///
    /// # Errors
    /// [`Error::NoFolder`], [`Error::NotAnExport`], [`Error::PyTorch`] if its weights are not ONNX,
    /// [`Error::Json`] and [`Error::Unusable`] for an index that can't be used.
    pub(crate) fn read(root: &Path, enclosure: &Enclosure) -> Result<Self, Error> {
        if !root.is_dir() {
            return Err(Error::NoFolder { path: root.to_owned(), is_file: root.is_file() });
        }
        if root.join(INDEX).is_file() {
            links::check(&root.join(INDEX), enclosure)?;
            let File { class, entries } = json::read(&root.join(INDEX), Text::Config)?;
            let index = Self { class: Some(class), entries };
            let unusable = |reason| Error::Unusable { path: root.join(INDEX), reason };
            return index.checked().map_err(unusable);
        }
        let folder = root.to_owned();
        match (inside::has_graph(root), inside::holds_pytorch(root)) {
            (true, _) => Ok(Self { class: None, entries: Map::new() }),
            (false, true) => Err(Error::PyTorch { folder }),
            (false, false) => Err(Error::NotAnExport { folder }),
        }
    }

    /// The components that it names, each with its class.
    pub(crate) fn components(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().filter_map(|(component, entry)| {
            let class = entry.as_array()?.get(1)?.as_str()?;
            Some((component.as_str(), class))
        })
    }

    /// The class that reads the component's config, where it names one. Exports name classes of their
    /// own for graphs, which say nothing of that.
    pub(crate) fn class_of(&self, component: &str) -> Option<&str> {
        let (_, class) = self.components().find(|(name, _)| *name == component)?;
        let is_wrapper = class.starts_with("ORT") || class.starts_with("OnnxRuntime");
        (!is_wrapper).then_some(class)
    }

    /// Whether it names the component: its entry is a library and a class, or nulls.
    pub(crate) fn has(&self, component: &str) -> bool {
        let entry = self.entries.get(component).and_then(Value::as_array);
        entry.is_some_and(|entry| entry.iter().any(|value| !value.is_null()))
    }

    /// A switch.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.entries.get(key).and_then(Value::as_bool)
    }

    /// Refuses an index whose components are too many, or no folders in this one.
    fn checked(self) -> Result<Self, String> {
        let count = self.components().count();
        if count > MAX_COMPONENTS {
            return Err(format!(
                "it names {count} parts, a pipeline has at most {MAX_COMPONENTS}; restore it from \
                 the export"
            ));
        }
        let plain = |name: &str| {
            let mut way = Path::new(name).components();
            let is_name = matches!(way.next(), Some(Component::Normal(first)) if first == name);
            is_name && way.next().is_none() && !name.contains('\0')
        };
        match self.components().find(|(name, _)| !plain(name)) {
            None => {}
            Some((name, _)) => {
                let name = brief(name.to_owned(), VALUE);
                return Err(format!(
                    "part {name:?} is no folder's name; restore it from the export"
                ));
            }
        }
        Ok(self)
    }
}
