//! A model folder read and judged without a session: what it is, what it can do, and all that is
//! wrong with it.
//!
//! A load reads first: a wrong graph is refused before gigabytes of others are. What only ONNX
//! Runtime knows (operators, shapes within a graph) is found when the graphs are opened.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::component::Component;
use super::draft::Draft;
use super::family::{self, Family};
use super::folder::{self, Contents, Difference, DigestCache, Folder, Index};
use super::named;
use super::options::LoadOptions;
use super::place::component_of;
use super::problems::{Problem, Problems};
use super::reader::{Inventory, Reader};
use super::sessions::Sessions;
use crate::chain::chain;
use crate::enclosure::Enclosure;
use crate::model::{Description, Error, Model};
use crate::progress::Progress;
use crate::session::{Graph, Runtime};

/// What was read of a folder.
#[derive(Debug)]
pub struct Blueprint {
    folder: Folder,
    family: &'static Family,
    /// None where a problem hides it.
    draft: Option<Draft>,
    graphs: Vec<Arc<Graph>>,
    /// The files that the model is made of, relative to the folder.
    used: BTreeSet<PathBuf>,
    pub(super) problems: Problems,
    warnings: Vec<String>,
    digested: DigestCache,
}

impl Blueprint {
    /// Reads the folder at `root`, which may be of one of these families.
    ///
    /// # Errors
    /// [`Error::Folder`] for what is no model folder of a known family. What is wrong with one that
    /// is are its [problems](Self::problems).
    pub(crate) fn read(
        root: &Path,
        families: &[&'static Family],
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        let enclosure = Enclosure::new(root, &options.allow_links_to);
        let index = Index::read(root, &enclosure)?;
        let family = family::find(families, root, index.class.as_deref())?;
        let folder = Folder::open(root, index, enclosure)?;
        let problems = Problems::default();
        let reader = Reader::new(&folder, options, &problems);
        let read = (family.read)(&reader);
        let Inventory { graphs, components, external, mut warnings, .. } = reader.into_seen();
        let used = folder.used(&components, &external);
        let draft = match read {
            Ok(draft) => {
                warnings.splice(0..0, draft.warnings.iter().cloned());
                Some(draft)
            }
            Err(error) => {
                let component = component_of(&error, root);
                // A fault of a graph may only follow from one that was noted.
                let follows = matches!(&error, Error::Session(_)) && problems.has(&component);
                if !follows {
                    problems.add(&component, chain(&error));
                }
                // The reading has ended before everything was seen.
                named::look(&folder, &problems);
                None
            }
        };
        let used = used.unwrap_or_else(|error| {
            let error = Error::from(error);
            problems.note(&component_of(&error, root), &error);
            BTreeSet::new()
        });
        let digested = options.digested.clone();
        Ok(Self { folder, family, draft, graphs, used, problems, warnings, digested })
    }

    /// All that is wrong with the folder, each with its remedy.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.list()
    }

    /// What can be lived with.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the model will be, but for its digest; `None` where a problem hides it.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        self.draft.as_ref().map(|draft| &draft.description)
    }

    /// The folder's family.
    #[must_use]
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// The pipeline class in `model_index.json`; empty where there is none.
    #[must_use]
    pub fn class(&self) -> &str {
        self.folder.class()
    }

    /// The graphs, as their files say them.
    #[must_use]
    pub fn components(&self) -> Vec<Component> {
        self.graphs.iter().map(|graph| Component::of(graph)).collect()
    }

    /// The files that the model is made of, relative to the folder.
    #[must_use]
    pub fn used(&self) -> &BTreeSet<PathBuf> {
        &self.used
    }

    /// Compares the folder with its manifest, and digests it where nothing differs. All is read
    /// once, and counted in `progress`.
    pub(super) fn examine(
        &self,
        progress: &Progress,
    ) -> Result<(Contents, Vec<Difference>), folder::Error> {
        let whole = self.problems.is_empty();
        folder::examine(&self.folder, &self.used, whole, progress)
    }

    /// Digests the folder's files, opens its graphs side by side and puts the model together. What
    /// is read is counted by the `runtime`'s progress.
    ///
    /// # Errors
    /// [`Error::Unfit`] if the folder has problems, [`Error::Folder`] for one that isn't what its
    /// manifest says, [`Error::Session`] for a graph or a device that ONNX Runtime can't use.
    pub fn open(self, runtime: &Runtime) -> Result<Box<dyn Model>, Error> {
        let root = self.folder.root();
        let unfit = |problems| Error::Unfit { folder: root.to_owned(), problems };
        let Some(draft) = self.draft.filter(|_| self.problems.is_empty()) else {
            return Err(unfit(self.problems.list()));
        };
        let contents =
            folder::contents(&self.folder, &self.used, &self.digested, runtime.progress())?;
        let mut sessions = Sessions::open(runtime, &self.graphs)?;
        let Draft { description, build, .. } = draft;
        let description = Description { digest: contents.digest, ..description };
        build(Arc::new(description), &mut sessions)
    }
}
