//! A loaded graph.

use std::sync::Arc;
use std::time::Duration;

use ort::session::RunOptions;

use super::cast::Cast;
use super::form::Replacement;
use super::{Device, Error, Graph, Port, Runtime, options};
use crate::brief;

/// An ONNX graph loaded on a device, with what it says about its inputs and outputs.
pub struct Session {
    pub(super) name: String,
    pub(super) loaded: GraphSession,
    pub(super) busy: Duration,
    device: Device,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// The input that takes a list, and is a scalar in the graph's file.
    pub(super) spread: Option<String>,
    weight_bytes: u64,
}

/// What it takes to run a graph.
pub(super) struct GraphSession {
    pub(super) session: ort::session::Session,
    /// Shared with the [`Interrupt`](super::Interrupt) while a run goes on.
    pub(super) options: Arc<RunOptions>,
}

impl Session {
    /// Loads the graph on the device that it was read for. Weights are read by ONNX Runtime from
    /// the files themselves.
    ///
    /// # Errors
    /// [`Error::ModelFile`] for files that have changed since they were read,
    /// [`Error::DeviceRefused`] if the device can't be used, [`Error::GraphRefused`] for a graph
    /// that ONNX Runtime can't run, [`Error::Port`] for an input or output that it has in another
    /// form than its file says.
    pub fn load(runtime: &Runtime, graph: &Graph) -> Result<Self, Error> {
        let session = Self::open(runtime, graph, graph.rewritten()?)?;
        session.check_casts(graph)?;
        runtime.progress.advance(graph.files().bytes);
        Ok(session)
    }

    /// Loads a half-precision graph in single precision, for values that half can't hold; `None`
    /// for a graph that has none, or that isn't understood.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_wide(runtime: &Runtime, graph: &Graph) -> Result<Option<Self>, Error> {
        let wide = graph.widened()?;
        wide.map(|wide| Self::open(runtime, graph, Some(wide))).transpose()
    }

    /// Opens the model's file, or what was made of it.
    fn open(
        runtime: &Runtime,
        graph: &Graph,
        rewritten: Option<Replacement>,
    ) -> Result<Self, Error> {
        let (name, model, device) = (graph.name(), graph.path(), graph.device());
        let refused = |reason: String| Error::GraphRefused { path: model.to_owned(), reason };
        let mut builder = options::of_session(runtime, name, device)?;
        let widened = rewritten.as_ref().is_some_and(|rewritten| rewritten.widened);
        let session = match &rewritten {
            Some(Replacement { bytes, .. }) => options::in_memory(builder, model, widened)
                .and_then(|mut builder| builder.commit_from_memory(bytes)),
            None => builder.commit_from_file(model),
        }
        .map_err(|error| refused(error.to_string()))?;
        let ports = |outlets: &[ort::value::Outlet]| -> Result<Vec<Port>, Error> {
            let port = |reason| Error::Port { graph: name.to_owned(), reason };
            outlets.iter().map(|outlet| Port::read(outlet).map_err(port)).collect()
        };
        let (inputs, outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        let options = options::of_run(widened).map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            loaded: GraphSession { session, options: Arc::new(options) },
            busy: Duration::ZERO,
            device,
            inputs,
            outputs,
            spread: graph.spread_input().map(str::to_owned),
            weight_bytes: graph.files().bytes,
        })
    }

    /// Refuses a graph that isn't understood well enough to have the types that were asked for.
    fn check_casts(&self, graph: &Graph) -> Result<(), Error> {
        let ports = || self.inputs.iter().chain(&self.outputs);
        for Cast { name, to } in graph.casts() {
            let other = ports().find(|port| port.name == *name && port.dtype != *to);
            if let Some(port) = other {
                let (name, own, to) = (port.shown_name(), port.dtype.numpy_name(), to.numpy_name());
                let reason = format!("{name} is {own} and can't be made {to}; export it in {to}");
                return Err(self.port_error(reason));
            }
        }
        Ok(())
    }

    /// What it is called, such as `unet`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph's inputs, in its order.
    #[must_use]
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The graph's outputs, in its order.
    #[must_use]
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The input of that name.
    ///
    /// # Errors
    /// [`Error::Port`] names those that there are.
    pub fn input(&self, name: &str) -> Result<&Port, Error> {
        self.port(&self.inputs, "input", name)
    }

    /// The output of that name.
    ///
    /// # Errors
    /// [`Error::Port`] names those that there are.
    pub fn output(&self, name: &str) -> Result<&Port, Error> {
        self.port(&self.outputs, "output", name)
    }

    fn port<'a>(&self, ports: &'a [Port], kind: &str, name: &str) -> Result<&'a Port, Error> {
        ports.iter().find(|port| port.name == name).ok_or_else(|| {
            let names = brief::names(ports.iter().map(|port| port.name.as_str()));
            self.port_error(format!("the graph has no {kind} {name}; it has {names}"))
        })
    }

    /// An error about one of this session's inputs or outputs.
    pub(crate) fn port_error(&self, reason: String) -> Error {
        Error::Port { graph: self.name.clone(), reason }
    }

    pub(super) fn run_error(&self, error: &ort::Error) -> Error {
        Error::Run { graph: self.name.clone(), reason: error.to_string() }
    }

    /// The device it runs on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Bytes of the graph and its weights on disk.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Time spent in runs of this session so far.
    #[must_use]
    pub fn busy(&self) -> Duration {
        self.busy
    }
}
