//! A folder that somebody exported: where its components are, and what it says of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::defaults::FolderDefaults;
use super::error::Error;
use super::index::{INDEX, Index};
use super::inside::{self, MODEL};
use super::{json, links};
use crate::enclosure::Enclosure;
use crate::files::{self, Text};

const DEFAULTS: &str = "hearth.json";
/// ControlNets of one folder, at most.
const MAX_NETS: usize = 8;

/// A model folder that exists and says what it is.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    index: Index,
    defaults: FolderDefaults,
    enclosure: Enclosure,
}

impl Folder {
    /// Opens the folder at `root`, whose index was read; its files lie in `enclosure`.
    ///
    /// # Errors
    /// [`Error::LeadsOut`] if some don't, [`Error::PyTorch`] if it is the original of an export, [`Error::Json`] and
    /// [`Error::Unusable`] for a `hearth.json` that can't be used.
    pub(crate) fn open(root: &Path, index: Index, enclosure: Enclosure) -> Result<Self, Error> {
        // Exports have folders of their own for a VAE's halves, and ControlNets are numbered.
        let nets: Vec<_> = (1..MAX_NETS).map(|number| format!("controlnet_{number}")).collect();
        let others = ["vae_decoder", "vae_encoder", "controlnet"];
        let folders = index.components().map(|(name, _)| name).chain(others);
        links::check_all(root, folders.chain(nets.iter().map(String::as_str)), &enclosure)?;
        let defaults = match root.join(DEFAULTS) {
            path if path.exists() => {
                let defaults: FolderDefaults = json::read(&path, Text::Config)?;
                defaults.check().map_err(|reason| Error::Unusable { path, reason })?;
                defaults
            }
            _ => FolderDefaults::default(),
        };
        let folder = Self { root: root.to_owned(), index, defaults, enclosure };
        match folder.is_original() {
            true => Err(Error::PyTorch { folder: folder.root }),
            false => Ok(folder),
        }
    }

    /// Whether it is the original of an export: weights of PyTorch, and no graph at all.
    fn is_original(&self) -> bool {
        let has =
            |found: &dyn Fn(&str) -> bool| self.index.components().any(|(name, _)| found(name));
        has(&|name| inside::holds_pytorch(&self.root.join(name)))
            && !has(&|name| self.has_graph(name))
            && !self.has_graph("vae_decoder")
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where its files lie.
    pub(crate) fn enclosure(&self) -> &Enclosure {
        &self.enclosure
    }

    /// What it says of itself as a whole.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The pipeline class; empty where there is none.
    pub(crate) fn class(&self) -> &str {
        self.index.class.as_deref().unwrap_or_default()
    }

    /// Whether diffusers itself exported it, which leaves out the configs of components that are
    /// graphs.
    pub(crate) fn lacks_configs(&self) -> bool {
        self.class().contains("Onnx")
    }

    /// The folder's own defaults.
    pub(crate) fn defaults(&self) -> &FolderDefaults {
        &self.defaults
    }

    /// Whether the component has a graph.
    pub(crate) fn has_graph(&self, component: &str) -> bool {
        inside::has_graph(&self.root.join(self.within(component)))
    }

    /// The component's folder in this one; a folder of one graph is that component's itself.
    fn within<'c>(&self, component: &'c str) -> &'c str {
        if self.index.class.is_some() { component } else { "" }
    }

    /// The graph of a component, such as `unet`.
    ///
    /// # Errors
    /// [`Error::PyTorch`] if the component has weights of that kind instead, [`Error::Missing`],
    /// [`Error::OtherName`].
    pub(crate) fn graph(&self, component: &str) -> Result<PathBuf, Error> {
        if self.has_graph(component) {
            return Ok(self.root.join(self.within(component)).join(MODEL));
        }
        // An export calls the decoder `vae_decoder`, the original keeps both halves in `vae`.
        let original = component.strip_suffix("_decoder").unwrap_or(component);
        let holds_pytorch = |name: &&str| inside::holds_pytorch(&self.root.join(name));
        Err(match [component, original].iter().any(holds_pytorch) {
            true => Error::PyTorch { folder: self.root.clone() },
            false => self.missing_graph(component),
        })
    }

    /// The file or folder at `relative`, which must exist.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub(crate) fn path(&self, relative: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(relative);
        if path.exists() { Ok(path) } else { Err(self.missing(relative)) }
    }

    /// The text of the file at `relative`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`].
    pub(crate) fn text(&self, relative: &str) -> Result<String, Error> {
        let path = self.path(relative)?;
        files::text(&path, Text::Config).map_err(|source| Error::Io { path, source })
    }

    /// The JSON file at `relative`; keys that `T` doesn't have are ignored.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Json`].
    pub(crate) fn json<T: DeserializeOwned>(&self, relative: &str) -> Result<T, Error> {
        json::read(&self.path(relative)?, Text::Config)
    }

    /// The files that a model is made of, relative to the folder: those of its `components` that
    /// are there, with the `external` weights files of their graphs, and the folder's own JSON.
    ///
    /// # Errors
    /// A folder that can't be listed.
    pub(crate) fn used(
        &self,
        components: &[String],
        external: &[PathBuf],
    ) -> Result<BTreeSet<PathBuf>, Error> {
        let own = [INDEX, DEFAULTS].map(PathBuf::from);
        let mut used: BTreeSet<_> =
            own.into_iter().filter(|file| self.root.join(file).exists()).collect();
        for component in components {
            let within = self.within(component);
            let path = self.root.join(within);
            if !path.is_dir() {
                continue;
            }
            for file in inside::files(&path)? {
                let wanted = file.extension().is_some_and(|extension| {
                    extension == "onnx" || extension == "json" || extension == "txt"
                });
                if wanted {
                    used.insert(Path::new(within).join(file));
                }
            }
        }
        for path in external {
            used.insert(path.strip_prefix(&self.root).unwrap_or(path).to_owned());
        }
        Ok(used)
    }

    /// Says which other graph there is, such as `model.fp16.onnx`.
    fn missing_graph(&self, component: &str) -> Error {
        let what = format!("{component}/{MODEL}");
        let files = inside::files(&self.root.join(component)).unwrap_or_default();
        let is_graph = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "onnx");
        let mut graphs: Vec<_> = files.into_iter().filter(is_graph).collect();
        graphs.sort();
        match graphs.first() {
            None => self.missing(&what),
            Some(found) => {
                let found = format!("{component}/{}", found.display());
                Error::OtherName { folder: self.root.clone(), what, found }
            }
        }
    }

    fn missing(&self, what: &str) -> Error {
        Error::Missing { folder: self.root.clone(), what: what.to_owned() }
    }
}
