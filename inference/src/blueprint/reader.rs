//! How a family reads a folder: its configs as they are, its graphs as their files say them.
//!
//! An error ends the reading; what is wrong with a graph is noted, and the reading goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::folder::{Folder, VaeTiling};
use super::options::LoadOptions;
use super::ports::Ports;
use super::problems::Problems;
use crate::model::Error;
use crate::session::{self, Cast, Device, Graph, Judgement, judge};

/// A folder that is being read.
pub(crate) struct Reader<'a> {
    folder: &'a Folder,
    options: &'a LoadOptions,
    problems: &'a Problems,
    seen: RefCell<Inventory>,
}

/// What was seen of a folder.
#[derive(Default)]
pub(super) struct Inventory {
    /// Each component's graph, or none where that can't be read, which was noted.
    read: BTreeMap<String, Option<Arc<Graph>>>,
    /// The graphs that are to be opened, in order.
    pub(super) graphs: Vec<Arc<Graph>>,
    /// The components that the model is made of.
    pub(super) components: Vec<String>,
    /// Bytes of their graphs and weights.
    pub(super) bytes: u64,
    /// Files of weights of their graphs.
    pub(super) external: Vec<PathBuf>,
    /// What can be lived with.
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        folder: &'a Folder,
        options: &'a LoadOptions,
        problems: &'a Problems,
    ) -> Self {
        Self { folder, options, problems, seen: RefCell::default() }
    }

    pub(super) fn into_seen(self) -> Inventory {
        self.seen.into_inner()
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &'a Folder {
        self.folder
    }

    /// The device that the model is to run on.
    pub(crate) fn device(&self) -> Device {
        self.options.device
    }

    /// How its VAE is to cut large pictures: as a worker's config says, then as the folder does.
    pub(crate) fn vae_tiling(&self) -> VaeTiling {
        self.options.vae_tiling.over(self.folder.defaults().vae_tiling)
    }

    /// Refuses settings of a VAE, for a model that has none.
    ///
    /// # Errors
    /// [`Error::Model`] if there are any.
    pub(crate) fn refuse_vae_tiling(&self) -> Result<(), Error> {
        if !self.vae_tiling().is_given() {
            return Ok(());
        }
        let reason = "there is no VAE in this model; leave it out".to_owned();
        Err(Error::Model { place: "vae_tiling".to_owned(), reason })
    }

    /// Says what can be lived with.
    pub(crate) fn warn(&self, warning: &str) {
        self.seen.borrow_mut().warnings.push(warning.to_owned());
    }

    /// Says that the model is made of these components: `graphs`, and `others` that are none. What
    /// is missing is noted, and so is a graph whose files can't be used.
    pub(crate) fn expect(&self, graphs: &[&str], others: &[&str]) {
        for component in graphs {
            let graph = self.read(component);
            let mut seen = self.seen.borrow_mut();
            seen.components.push((*component).to_owned());
            if let Some(graph) = graph {
                seen.bytes = seen.bytes.saturating_add(graph.files().bytes);
                seen.external.extend(graph.files().external.iter().cloned());
            }
        }
        for component in others {
            if let Err(error) = self.folder.path(component) {
                self.note(component, &error);
            }
            self.seen.borrow_mut().components.push((*component).to_owned());
        }
    }

    /// The names of the components that have a graph, as far as they were expected.
    pub(crate) fn graph_names(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        let has_graph = |component: &&String| seen.read.contains_key(*component);
        seen.components.iter().filter(has_graph).cloned().collect()
    }

    /// Bytes of the graphs and weights that were expected.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.seen.borrow().bytes
    }

    /// The graph of a component, to be opened.
    pub(crate) fn graph(&self, component: &str) -> Ports<'a> {
        let graph = self.read(component);
        self.seen.borrow_mut().graphs.extend(graph.clone());
        Ports::new(component, graph.as_ref(), self.problems)
    }

    /// The same with those of `casts` among its inputs and outputs in the types that they say.
    pub(crate) fn graph_cast(&self, component: &str, casts: &[Cast]) -> Ports<'a> {
        self.graph_as(component, |graph| graph.cast(casts))
    }

    /// The same with a list as the input of that name, where the file has a scalar that the graph
    /// spreads over the copies of the sample.
    pub(crate) fn graph_spread(&self, component: &str, input: &str) -> Ports<'a> {
        self.graph_as(component, |graph| graph.spread(input))
    }

    /// The graph of a component in another form.
    fn graph_as(
        &self,
        component: &str,
        form: impl FnOnce(&Graph) -> Result<Graph, session::Error>,
    ) -> Ports<'a> {
        let formed = self.read(component).map(|graph| form(&graph));
        let graph = match formed.transpose() {
            Ok(graph) => graph.map(Arc::new),
            Err(error) => {
                self.note(component, &error);
                None
            }
        };
        self.seen.borrow_mut().graphs.extend(graph.clone());
        Ports::new(component, graph.as_ref(), self.problems)
    }

    /// What the graph of a component says of itself, once more.
    pub(crate) fn ports(&self, component: &str) -> Ports<'a> {
        Ports::new(component, self.read(component).as_ref(), self.problems)
    }

    /// The names of the outputs of a component's graph. One that can't be read has none.
    pub(crate) fn output_names(&self, component: &str) -> Vec<String> {
        let graph = self.read(component);
        let outputs = graph.iter().flat_map(|graph| graph.files().header.outputs.iter().flatten());
        outputs.map(|port| port.name.clone()).collect()
    }

    /// Whether one of those operators, whatever its domain, is in a component's graph.
    pub(crate) fn has_operator(&self, component: &str, names: &[&str]) -> bool {
        let graph = self.read(component);
        let operators = graph.iter().flat_map(|graph| &graph.files().header.operators);
        operators.into_iter().any(|operator| names.contains(&operator.name.as_str()))
    }

    /// Reads a component's graph, unless that was done before. What is wrong is noted once.
    fn read(&self, component: &str) -> Option<Arc<Graph>> {
        if let Some(known) = self.seen.borrow().read.get(component) {
            return known.clone();
        }
        let graph = match self.read_file(component) {
            Ok(graph) => Some(Arc::new(graph)),
            Err(error) => {
                self.note(component, &error);
                None
            }
        };
        self.seen.borrow_mut().read.insert(component.to_owned(), graph.clone());
        graph
    }

    fn read_file(&self, component: &str) -> Result<Graph, Error> {
        let path = self.folder.graph(component)?;
        let graph = Graph::read(component, self.folder.enclosure(), &path, self.device())?;
        let Judgement { problem, warnings } = judge(&graph);
        warnings.iter().for_each(|warning| self.warn(warning));
        match problem {
            None => Ok(graph),
            Some(reason) => Err(session::Error::ModelFile { path, reason }.into()),
        }
    }

    /// Notes what is wrong with a component, unless something is known to be.
    fn note(&self, component: &str, error: &dyn std::error::Error) {
        if !self.problems.has(component) {
            self.problems.note(component, error);
        }
    }
}
