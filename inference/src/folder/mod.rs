//! A model folder on disk, in the layout of a diffusers ONNX export.
//!
//! Reads what the folder says about itself (`model_index.json`, configs, `hearth.json`), finds its
//! parts, checks its digests, and says what is missing and how to get it. Graphs are opened
//! elsewhere. The layout is described in `docs/model-folders.md`.

mod defaults;
mod digested;
mod error;
mod family;
mod listing;
mod manifest;
mod tiling;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::defaults::Defaults;
pub use self::digested::Digested;
pub use self::error::Error;
pub use self::family::Family;
pub(crate) use self::manifest::examine;
pub use self::manifest::{Contents, Difference, Differs, MANIFEST, Manifest};
pub use self::tiling::{Above, BadTiling, VaeTiling};
use crate::brief::{MESSAGE, VALUE, brief};
use crate::files::{self, Text};
use crate::findings::Findings;
use crate::progress::Progress;

const INDEX: &str = "model_index.json";
const DEFAULTS: &str = "hearth.json";
const MODEL: &str = "model.onnx";
/// Pictures of a longer side are no model's.
pub(crate) const MAX_SIDE: u32 = 16_384;
/// Pipelines of diffusers have about a dozen parts.
const MAX_PARTS: usize = 64;
/// A part has a few files, or one for each of its weights.
const MAX_FILES: usize = 20_000;
/// Extensions of the weights that PyTorch reads.
const PYTORCH: [&str; 5] = ["safetensors", "bin", "ckpt", "pt", "pth"];

/// A model folder that exists and names a family we know.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    family: Family,
    class: String,
    index: Map<String, Value>,
    defaults: Defaults,
    progress: Progress,
    digested: Digested,
    findings: Option<Findings>,
}

/// What we read of `model_index.json`.
#[derive(Default, serde::Deserialize)]
struct Index {
    #[serde(rename = "_class_name")]
    class: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Folder {
    /// Opens the folder at `root`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such folder or it isn't an export, [`Error::PyTorch`] if
    /// its weights are not ONNX, [`Error::UnknownFamily`] for a pipeline class that can't be run
    /// yet, [`Error::Json`] for a file that can't be parsed.
    pub fn open(root: &Path) -> Result<Self, Error> {
        if !root.is_dir() {
            return Err(Error::NoFolder { path: root.to_owned(), is_file: root.is_file() });
        }
        if !root.join(INDEX).is_file() && !root.join(MODEL).is_file() {
            if holds_pytorch(root) {
                return Err(Error::PyTorch { folder: root.to_owned() });
            }
            return Err(Error::NotAnExport { folder: root.to_owned() });
        }
        let (family, Index { class, rest: index }) = match root.join(INDEX).is_file() {
            false => (Family::Onnx, Index::default()),
            true => {
                let index: Index = read_json(&root.join(INDEX), Text::Config)?;
                let unknown =
                    || Error::UnknownFamily { folder: root.to_owned(), class: index.class.clone() };
                check_parts(&index.rest)
                    .map_err(|reason| Error::Unusable { path: root.join(INDEX), reason })?;
                (Family::of_class(&index.class).ok_or_else(unknown)?, index)
            }
        };
        let defaults = match root.join(DEFAULTS) {
            path if path.exists() => {
                let defaults: Defaults = read_json(&path, Text::Config)?;
                defaults.check().map_err(|reason| Error::Unusable { path, reason })?;
                defaults
            }
            _ => Defaults::default(),
        };
        let (progress, digested) = (Progress::default(), Digested::default());
        let root = root.to_owned();
        let folder =
            Self { root, family, class, index, defaults, progress, digested, findings: None };
        if folder.is_original() {
            return Err(Error::PyTorch { folder: folder.root });
        }
        Ok(folder)
    }

    /// Whether it is the original of an export: weights of PyTorch, and no graph at all.
    fn is_original(&self) -> bool {
        let parts = self.parts();
        let has = |found: &dyn Fn(&str) -> bool| parts.iter().any(|(part, _)| found(part));
        has(&|part| holds_pytorch(&self.root.join(part)))
            && !has(&|part| self.has_graph(part))
            && !self.has_graph("vae_decoder")
    }

    /// The same folder; what is read to check it is counted in `progress`.
    #[must_use]
    pub fn watched(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// The same folder; its files that `digested` knows already are not read for their digests.
    #[must_use]
    pub fn remembered(self, digested: Digested) -> Self {
        Self { digested, ..self }
    }

    /// The same folder; what is wrong with it is noted in `findings`, and what can be taken as if
    /// it were right is. Its files are not digested.
    pub(crate) fn noting(self, findings: Findings) -> Self {
        Self { findings: Some(findings), ..self }
    }

    /// An error of `part`; noted instead, where they are.
    pub(crate) fn meet<E: std::error::Error>(&self, part: &str, error: E) -> Result<(), E> {
        let Some(findings) = &self.findings else { return Err(error) };
        // A graph that isn't there was noted by whoever looked for it.
        if !findings.has(part) {
            findings.note(part, &error);
        }
        Ok(())
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The family of pipelines it belongs to.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The pipeline class in `model_index.json`; empty where there is none.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.class
    }

    /// Whether diffusers itself exported it, which leaves out the configs of parts that are graphs.
    #[must_use]
    pub fn lacks_configs(&self) -> bool {
        self.class.contains("Onnx")
    }

    /// Whether `model_index.json` names the part: its entry is a library and a class, or nulls.
    #[must_use]
    pub fn has(&self, part: &str) -> bool {
        let entry = self.index.get(part).and_then(Value::as_array);
        entry.is_some_and(|entry| entry.iter().any(|value| !value.is_null()))
    }

    /// The parts that `model_index.json` names, each with its class.
    pub(crate) fn parts(&self) -> Vec<(String, String)> {
        parts_in(&self.index).map(|(part, class)| (part.to_owned(), class.to_owned())).collect()
    }

    /// A switch in `model_index.json`.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.index.get(key).and_then(Value::as_bool)
    }

    /// The folder's own defaults.
    #[must_use]
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// Whether there is a graph of part `part`.
    #[must_use]
    pub fn has_graph(&self, part: &str) -> bool {
        self.root.join(part).join(MODEL).is_file()
    }

    /// The graph of part `part`, such as `unet`.
    ///
    /// # Errors
    /// [`Error::PyTorch`] if the part has weights of that kind instead, [`Error::Missing`].
    pub fn graph(&self, part: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(part).join(MODEL);
        if path.is_file() {
            return Ok(path);
        }
        // An export calls the decoder `vae_decoder`, the original keeps both halves in `vae`.
        let original = part.strip_suffix("_decoder").unwrap_or(part);
        let error = match [part, original].iter().any(|part| holds_pytorch(&self.root.join(part))) {
            true => Error::PyTorch { folder: self.root.clone() },
            false => self.missing_graph(part),
        };
        self.meet(part, error).map(|()| path)
    }

    /// The file or folder at `relative`, which must exist.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn path(&self, relative: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(relative);
        if path.exists() { Ok(path) } else { Err(self.missing(relative)) }
    }

    /// The text of the file at `relative`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`].
    pub fn text(&self, relative: &str) -> Result<String, Error> {
        let path = self.path(relative)?;
        files::text(&path, Text::Config).map_err(|source| Error::Io { path, source })
    }

    /// The JSON file at `relative`; keys that `T` doesn't have are ignored.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], [`Error::Json`].
    pub fn json<T: DeserializeOwned>(&self, relative: &str) -> Result<T, Error> {
        read_json(&self.path(relative)?, Text::Config)
    }

    /// Digests the files that the pipeline uses: those of `parts` (folders in this one) with the
    /// `external` weights files of their graphs, and the folder's own JSON. Where there is a
    /// `manifest.json`, every file it lists is verified, and every used file must be listed.
    ///
    /// # Errors
    /// [`Error::Digest`] names the file that isn't what the manifest says.
    pub fn contents(&self, parts: &[&str], external: &[PathBuf]) -> Result<Contents, Error> {
        let used = self.used(parts, external)?;
        match &self.findings {
            None => {
                self.expect(&used);
                manifest::contents(&self.root, &used, &self.digested, &self.progress)
            }
            Some(findings) => {
                findings.uses(used);
                Ok(Contents::default())
            }
        }
    }

    /// Says how much of the files is to be read.
    fn expect(&self, used: &BTreeSet<PathBuf>) {
        for file in used {
            let bytes = std::fs::metadata(self.root.join(file)).map_or(0, |file| file.len());
            // Graphs and weights are read once more, to be used.
            let text = file.extension().is_some_and(|kind| kind == "json" || kind == "txt");
            self.progress.expect(if text { bytes } else { 2 * bytes });
        }
    }

    /// The files that the pipeline uses, relative to the folder.
    fn used(&self, parts: &[&str], external: &[PathBuf]) -> Result<BTreeSet<PathBuf>, Error> {
        let own = [INDEX, DEFAULTS].map(PathBuf::from);
        let mut used: BTreeSet<_> =
            own.into_iter().filter(|file| self.root.join(file).exists()).collect();
        for part in parts {
            let path = self.root.join(part);
            if self.findings.is_some() && !path.is_dir() {
                continue;
            }
            for file in files_in(&path)? {
                let wanted = file.extension().is_some_and(|extension| {
                    extension == "onnx" || extension == "json" || extension == "txt"
                });
                if wanted {
                    used.insert(Path::new(part).join(file));
                }
            }
        }
        let real = self.root.canonicalize().map_err(|source| self.io(source))?;
        for path in external {
            used.insert(path.strip_prefix(&real).unwrap_or(path).to_owned());
        }
        Ok(used)
    }

    /// Says which other graph there is, such as `model.fp16.onnx`.
    fn missing_graph(&self, part: &str) -> Error {
        let what = format!("{part}/{MODEL}");
        let files = files_in(&self.root.join(part)).unwrap_or_default();
        let is_graph = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "onnx");
        let mut graphs: Vec<_> = files.into_iter().filter(is_graph).collect();
        graphs.sort();
        match graphs.first() {
            None => self.missing(&what),
            Some(found) => {
                let found = format!("{part}/{}", found.display());
                Error::OtherName { folder: self.root.clone(), what, found }
            }
        }
    }

    fn missing(&self, what: &str) -> Error {
        Error::Missing { folder: self.root.clone(), what: what.to_owned() }
    }

    fn io(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.root.clone(), source }
    }
}

/// The parts that an index names, each with its class.
fn parts_in(index: &Map<String, Value>) -> impl Iterator<Item = (&str, &str)> {
    index.iter().filter_map(|(part, entry)| {
        let class = entry.as_array()?.get(1)?.as_str()?;
        Some((part.as_str(), class))
    })
}

/// Refuses an index whose parts are too many, or no folders in this one.
fn check_parts(index: &Map<String, Value>) -> Result<(), String> {
    let parts = parts_in(index).count();
    if parts > MAX_PARTS {
        return Err(format!(
            "it names {parts} parts, a pipeline has at most {MAX_PARTS}; restore it from the export"
        ));
    }
    let plain = |part: &str| {
        let mut components = Path::new(part).components();
        let is_name = matches!(components.next(), Some(Component::Normal(name)) if name == part);
        is_name && components.next().is_none() && !part.contains('\0')
    };
    match parts_in(index).find(|(part, _)| !plain(part)) {
        None => Ok(()),
        Some((part, _)) => {
            let part = brief(part.to_owned(), VALUE);
            Err(format!("part {part:?} is no folder's name; restore it from the export"))
        }
    }
}

fn read_json<T: DeserializeOwned>(path: &Path, kind: Text) -> Result<T, Error> {
    let text = files::text(path, kind).map_err(|source| Error::Io { path: path.into(), source })?;
    let bad =
        |reason: String| Error::Json { path: path.to_owned(), reason: brief(reason, MESSAGE) };
    let parsed = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    // A list would be taken for the values of the keys in order.
    match text.trim_start().starts_with('{') {
        true => Ok(parsed),
        false => Err(bad("it is not an object".to_owned())),
    }
}

/// The names of the files directly in `folder`.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
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

fn holds_pytorch(folder: &Path) -> bool {
    files_in(folder).is_ok_and(|files| {
        files.iter().any(|file| {
            let extension = file.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| PYTORCH.contains(&extension))
        })
    })
}
