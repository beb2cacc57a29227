//! A loaded graph.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ort::session::RunOptions;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::{Device, Error, Port, Runtime, onnx};

/// An ONNX graph loaded on a device, with what it says about its inputs and outputs.
pub struct Session {
    pub(super) part: String,
    pub(super) session: ort::session::Session,
    /// Shared with the [`Interrupt`](super::Interrupt) while a run goes on.
    pub(super) options: Arc<RunOptions>,
    pub(super) busy: Duration,
    device: Device,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    weight_bytes: u64,
}

impl Session {
    /// Loads the graph at `model` on `device`; `part` names it in errors, such as `unet`.
    ///
    /// The file, and the files of weights that it refers to, are checked first: they must be whole
    /// and lie beneath `root`. Weights are read by ONNX Runtime from the files themselves.
    ///
    /// # Errors
    /// [`Error::ModelFile`] for a truncated or unsafe file, [`Error::DeviceRefused`] if the device
    /// can't be used, [`Error::GraphRefused`] for a graph that ONNX Runtime can't run,
    /// [`Error::Port`] for an input or output of an element type that isn't supported.
    pub fn load(
        runtime: &Runtime,
        part: &str,
        root: &Path,
        model: &Path,
        device: Device,
    ) -> Result<Self, Error> {
        let weight_bytes = onnx::check(root, model)?.bytes;
        let refused = |reason: String| Error::GraphRefused { path: model.to_owned(), reason };
        let mut builder = Self::builder(runtime, device)?;
        let session =
            builder.commit_from_file(model).map_err(|error| refused(error.to_string()))?;
        let ports = |outlets: &[ort::value::Outlet]| -> Result<Vec<Port>, Error> {
            let port = |reason| Error::Port { part: part.to_owned(), reason };
            outlets.iter().map(|outlet| Port::read(outlet).map_err(port)).collect()
        };
        let (inputs, outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        let options = RunOptions::new().map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            part: part.to_owned(),
            session,
            options: Arc::new(options),
            busy: Duration::ZERO,
            device,
            inputs,
            outputs,
            weight_bytes,
        })
    }

    fn builder(runtime: &Runtime, device: Device) -> Result<SessionBuilder, Error> {
        let refused = |error: ort::Error| Error::DeviceRefused {
            device: device.to_string(),
            reason: error.to_string(),
        };
        ort::session::Session::builder(&runtime.environment)
            .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::All)?))
            .and_then(|builder| Ok(builder.with_execution_providers([device.provider()])?))
            .map_err(refused)
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
            let names: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
            self.port_error(format!("the graph has no {kind} {name}; it has {}", names.join(", ")))
        })
    }

    /// Checks that the graph asks for nothing but the inputs in `known`.
    ///
    /// # Errors
    /// [`Error::Port`] names the first other one.
    pub fn expect_inputs(&self, known: &[&str]) -> Result<(), Error> {
        let stranger = self.inputs.iter().find(|port| !known.contains(&port.name.as_str()));
        stranger.map_or(Ok(()), |port| {
            let known = known.join(", ");
            Err(self.port_error(format!(
                "the graph asks for input {}, which is not supported; known: {known}",
                port.name
            )))
        })
    }

    /// An error about one of this session's inputs or outputs.
    pub(crate) fn port_error(&self, reason: String) -> Error {
        Error::Port { part: self.part.clone(), reason }
    }

    pub(super) fn run_error(&self, error: &ort::Error) -> Error {
        Error::Run { part: self.part.clone(), reason: error.to_string() }
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
