//! A graph's inputs and outputs, judged by whoever will run it.
//!
//! What is wrong is noted and taken as if it were right, so that the other faults of a folder are
//! found as well; nothing is opened of a folder in which something is wrong.

use std::collections::HashSet;
use std::sync::Arc;

use hearth_api::tensor::Dtype;

use super::problems::Problems;
use super::shapes::{self, Axis};
use crate::brief;
use crate::session::{Error, Graph, Port};

/// What a component's graph says of itself, and where to note what is wrong with that.
pub(crate) struct Ports<'a> {
    component: String,
    /// As they are when the graph runs. None of a graph that can't be read.
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    graph: Option<Arc<Graph>>,
    problems: &'a Problems,
}

impl<'a> Ports<'a> {
    pub(super) fn new(component: &str, graph: Option<&Arc<Graph>>, problems: &'a Problems) -> Self {
        let component = component.to_owned();
        let mut ports = Self {
            component,
            inputs: Vec::new(),
            outputs: Vec::new(),
            graph: graph.cloned(),
            problems,
        };
        if let Some(graph) = graph {
            let known = |said: &[Result<Port, String>]| {
                let known = said.iter().flat_map(|port| match port {
                    Ok(port) => Some(graph.in_form(port)),
                    Err(reason) => {
                        problems.note(&ports.component, &ports.error(reason.clone()));
                        None
                    }
                });
                known.collect()
            };
            let header = &graph.files().header;
            let (inputs, outputs) = (known(&header.inputs), known(&header.outputs));
            (ports.inputs, ports.outputs) = (inputs, outputs);
        }
        ports
    }

    /// The graph itself; `None` if it can't be read.
    pub(crate) fn graph(&self) -> Option<Arc<Graph>> {
        self.graph.clone()
    }

    /// The graph's inputs, in its order.
    pub(crate) fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The graph's outputs, in its order.
    pub(crate) fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The input of that name, which the graph must have.
    pub(crate) fn input(&self, name: &str) -> Option<&Port> {
        self.port(&self.inputs, "input", name)
    }

    /// The output of that name, which the graph must have.
    pub(crate) fn output(&self, name: &str) -> Option<&Port> {
        self.port(&self.outputs, "output", name)
    }

    fn port<'p>(&self, ports: &'p [Port], kind: &str, name: &str) -> Option<&'p Port> {
        let port = ports.iter().find(|port| port.name == name);
        if port.is_none() {
            let names = brief::names(ports.iter().map(|port| port.name.as_str()));
            self.note(format!(
                "the graph has no {kind} {name}; it has {names}; export it again with {name} among \
                 its {kind}s, as optimum and tools/export do"
            ));
        }
        port
    }

    /// Notes that something is wrong with the graph. Of one that can't be read nothing is known,
    /// and that was noted.
    pub(crate) fn note(&self, reason: String) {
        if !(self.inputs.is_empty() && self.outputs.is_empty()) {
            self.problems.note(&self.component, &self.error(reason));
        }
    }

    /// Notes what the caller has found, unless it may only follow from another fault.
    pub(crate) fn note_first(&self, fault: Option<String>) {
        if let Some(reason) = fault
            && !self.problems.has(&self.component)
        {
            self.note(reason);
        }
    }

    /// An error about one of the inputs or outputs.
    pub(crate) fn error(&self, reason: String) -> Error {
        Error::Port { graph: self.component.clone(), reason }
    }

    /// Checks that inputs and outputs of these names, where there are such, hold floating-point
    /// numbers.
    pub(crate) fn expect_floats(&self, names: &[&str]) {
        let fits = |dtype| matches!(dtype, Dtype::F32 | Dtype::F16);
        self.expect_types(names, fits, "float32 or float16");
    }

    /// Checks the same of whole numbers.
    pub(crate) fn expect_integers(&self, names: &[&str]) {
        let fits = |dtype| matches!(dtype, Dtype::I64 | Dtype::I32);
        self.expect_types(names, fits, "int64 or int32");
    }

    fn expect_types(&self, names: &[&str], fits: impl Fn(Dtype) -> bool, wanted: &str) {
        let ports = self.inputs.iter().chain(&self.outputs);
        let mut named = ports.filter(|port| names.contains(&port.name.as_str()));
        if let Some(port) = named.find(|port| !fits(port.dtype)) {
            let (name, dtype) = (port.shown_name(), port.dtype.numpy_name());
            self.note(format!("{name} is {dtype}; export the graph with {wanted} there"));
        }
    }

    /// Checks that the input of that name, where there is one, can be given tensors with these axes.
    pub(crate) fn expect_shape(&self, name: &str, axes: &[Axis]) {
        let port = self.inputs.iter().find(|port| port.name == name);
        self.note_first(port.and_then(|port| shapes::misfit(port, axes)));
    }

    /// How many samples the inputs of these names take at once, where that is built into one of them.
    /// It is the first axis of those that have any.
    pub(crate) fn batch(&self, names: &[&str]) -> Option<usize> {
        let is_named = |port: &&Port| names.contains(&port.name.as_str());
        let built_in = self.inputs.iter().filter(is_named);
        let mut built_in =
            built_in.filter_map(|port| Some((port, port.dims.first().copied().flatten()?)));
        let (first, batch) = built_in.next()?;
        let other = built_in.find(|(_, other)| *other != batch);
        self.note_first(other.map(|(port, other)| {
            format!(
                "input {} has a batch of {batch} built in and input {} one of {other}; export them \
                 with an open batch axis",
                first.shown_name(),
                port.shown_name()
            )
        }));
        Some(batch)
    }

    /// Checks that the graph asks for nothing but the inputs in `known`.
    pub(crate) fn expect_inputs(&self, known: &[&str]) {
        let known_names: HashSet<_> = known.iter().copied().collect();
        let stranger = self.inputs.iter().find(|port| !known_names.contains(port.name.as_str()));
        if let Some(port) = stranger {
            let (name, known) = (port.shown_name(), brief::names(known.iter().copied()));
            self.note(format!(
                "the graph asks for input {name}, which is not supported; known: {known}; export it \
                 without that input"
            ));
        }
    }
}
