//! A loaded graph.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ort::session::RunOptions;

use super::form::{Cast, Form, Rewritten, read};
use super::{Device, Dtype, Error, Port, Runtime, onnx, options, widen};
use crate::brief;
use crate::findings::{Findings, Part};

/// An ONNX graph loaded on a device, with what it says about its inputs and outputs.
pub struct Session {
    pub(super) part: String,
    /// None where the graph was read and not loaded.
    pub(super) loaded: Option<Loaded>,
    pub(super) busy: Duration,
    device: Device,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    weight_bytes: u64,
    /// Where faults are noted instead of being errors.
    findings: Option<Findings>,
}

/// What it takes to run a graph.
pub(super) struct Loaded {
    pub(super) session: ort::session::Session,
    /// Shared with the [`Interrupt`](super::Interrupt) while a run goes on.
    pub(super) options: Arc<RunOptions>,
}

impl Loaded {
    /// The loaded half of a session.
    pub(super) fn of<'a>(loaded: &'a mut Option<Self>, part: &str) -> Result<&'a mut Self, Error> {
        loaded.as_mut().ok_or_else(|| only_read(part))
    }
}

fn only_read(part: &str) -> Error {
    let reason = "the graph was read and not loaded".to_owned();
    Error::Run { part: part.to_owned(), reason }
}

/// What a graph that can't be read is taken to have.
static ANY: Port = Port { name: String::new(), dtype: Dtype::F32, dims: Vec::new() };

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
        Self::load_cast(runtime, part, root, model, device, &[])
    }

    /// Loads the graph with those of `casts` among its inputs and outputs in the types that they
    /// say, if they are floating-point ones and the graph is understood.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_cast(
        runtime: &Runtime,
        part: &str,
        root: &Path,
        model: &Path,
        device: Device,
        casts: &[Cast],
    ) -> Result<Self, Error> {
        if let Some(findings) = &runtime.findings {
            return Ok(Self::read(part, root, model, device, casts, findings));
        }
        let files = onnx::check(root, model)?;
        let form = Form::of(&files, model, device, casts)?.rewritten(model, device)?;
        let session = Self::open(runtime, part, model, device, form, files.bytes)?;
        runtime.progress.advance(files.bytes);
        Ok(session)
    }

    /// Loads a half-precision graph in single precision, for values that half can't hold; `None`
    /// for a graph that has none, or that isn't understood.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_wide(
        runtime: &Runtime,
        part: &str,
        root: &Path,
        model: &Path,
        device: Device,
    ) -> Result<Option<Self>, Error> {
        if runtime.findings.is_some() {
            return Ok(None);
        }
        let files = onnx::check(root, model)?;
        let Some(bytes) = widen::widen_all(&read(model)?) else { return Ok(None) };
        let wide = Rewritten { bytes, widened: true };
        Self::open(runtime, part, model, device, Some(wide), files.bytes).map(Some)
    }

    /// Opens the model's file, or what was made of it.
    fn open(
        runtime: &Runtime,
        part: &str,
        model: &Path,
        device: Device,
        rewritten: Option<Rewritten>,
        weight_bytes: u64,
    ) -> Result<Self, Error> {
        let refused = |reason: String| Error::GraphRefused { path: model.to_owned(), reason };
        let mut builder = options::of_session(runtime, part, device)?;
        let widened = rewritten.as_ref().is_some_and(|rewritten| rewritten.widened);
        let session = match &rewritten {
            Some(Rewritten { bytes, .. }) => options::in_memory(builder, model, widened)
                .and_then(|mut builder| builder.commit_from_memory(bytes)),
            None => builder.commit_from_file(model),
        }
        .map_err(|error| refused(error.to_string()))?;
        let ports = |outlets: &[ort::value::Outlet]| -> Result<Vec<Port>, Error> {
            let port = |reason| Error::Port { part: part.to_owned(), reason };
            outlets.iter().map(|outlet| Port::read(outlet).map_err(port)).collect()
        };
        let (inputs, outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        let options = options::of_run(widened).map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            part: part.to_owned(),
            loaded: Some(Loaded { session, options: Arc::new(options) }),
            busy: Duration::ZERO,
            device,
            inputs,
            outputs,
            weight_bytes,
            findings: None,
        })
    }

    /// The graph as its file says it.
    fn read(
        part: &str,
        root: &Path,
        model: &Path,
        device: Device,
        casts: &[Cast],
        findings: &Findings,
    ) -> Self {
        let mut read = Self {
            part: part.to_owned(),
            loaded: None,
            busy: Duration::ZERO,
            device,
            inputs: Vec::new(),
            outputs: Vec::new(),
            weight_bytes: 0,
            findings: Some(findings.clone()),
        };
        let looked = onnx::check(root, model)
            .and_then(|files| Ok((Form::of(&files, model, device, casts)?, files)));
        let (form, files) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                // A graph that isn't there was noted by whoever looked for it.
                if !findings.has(part) {
                    findings.note(part, &error);
                }
                return read;
            }
        };
        let precision = files.header.precision();
        let known = |ports: Vec<Result<Port, String>>| -> Vec<Port> {
            let known = |port: Result<Port, String>| {
                port.map_err(|reason| findings.note(part, &read.port_error(reason))).ok()
            };
            ports.into_iter().filter_map(known).collect()
        };
        let (inputs, outputs) = (known(files.header.inputs), known(files.header.outputs));
        let shown = |ports: &[Port]| ports.iter().map(ToString::to_string).collect();
        findings.part(Part {
            part: part.to_owned(),
            bytes: files.bytes,
            precision,
            inputs: shown(&inputs),
            outputs: shown(&outputs),
        });
        let run = |ports: Vec<Port>| ports.into_iter().map(|port| form.port(port)).collect();
        (read.inputs, read.outputs, read.weight_bytes) = (run(inputs), run(outputs), files.bytes);
        read
    }

    pub(super) fn loaded(&self) -> Result<&Loaded, Error> {
        self.loaded.as_ref().ok_or_else(|| only_read(&self.part))
    }

    /// What it is called, such as `unet`.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
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
        if let Some(port) = ports.iter().find(|port| port.name == name) {
            return Ok(port);
        }
        let names = brief::names(ports.iter().map(|port| port.name.as_str()));
        let reason = format!("the graph has no {kind} {name}; it has {names}");
        self.fault(reason).map(|()| &ANY)
    }

    /// Something is wrong with the graph: an error, or noted where it was only read.
    fn fault(&self, reason: String) -> Result<(), Error> {
        let Some(findings) = &self.findings else { return Err(self.port_error(reason)) };
        // Of a graph that can't be read nothing is known, and that was noted.
        if !(self.inputs.is_empty() && self.outputs.is_empty()) {
            findings.note(&self.part, &self.port_error(reason));
        }
        Ok(())
    }

    /// Refuses the graph if the caller has found a `fault` in it.
    ///
    /// # Errors
    /// [`Error::Port`].
    pub(crate) fn refuse_for(&self, fault: Option<String>) -> Result<(), Error> {
        // What follows from another fault is not said.
        let known = |findings: &Findings| findings.has(&self.part);
        match fault {
            Some(reason) if !self.findings.as_ref().is_some_and(known) => self.fault(reason),
            _ => Ok(()),
        }
    }

    /// Checks that inputs and outputs of these names, where there are such, hold floating-point
    /// numbers.
    ///
    /// # Errors
    /// [`Error::Port`] names the first that doesn't.
    pub fn expect_floats(&self, names: &[&str]) -> Result<(), Error> {
        let fits = |dtype| matches!(dtype, Dtype::F32 | Dtype::F16);
        self.expect_types(names, fits, "float32 or float16")
    }

    /// Checks the same of whole numbers.
    ///
    /// # Errors
    /// [`Error::Port`] names the first that doesn't hold them.
    pub fn expect_integers(&self, names: &[&str]) -> Result<(), Error> {
        let fits = |dtype| matches!(dtype, Dtype::I64 | Dtype::I32);
        self.expect_types(names, fits, "int64 or int32")
    }

    fn expect_types(
        &self,
        names: &[&str],
        fits: impl Fn(Dtype) -> bool,
        wanted: &str,
    ) -> Result<(), Error> {
        let ports = self.inputs.iter().chain(&self.outputs);
        let mut named = ports.filter(|port| names.contains(&port.name.as_str()));
        named.find(|port| !fits(port.dtype)).map_or(Ok(()), |port| {
            let (name, dtype) = (port.shown_name(), port.dtype);
            self.fault(format!("{name} is {dtype}; export the graph with {wanted} there"))
        })
    }

    /// Checks that the graph asks for nothing but the inputs in `known`.
    ///
    /// # Errors
    /// [`Error::Port`] names the first other one.
    pub fn expect_inputs(&self, known: &[&str]) -> Result<(), Error> {
        let known_names: HashSet<_> = known.iter().copied().collect();
        let stranger = self.inputs.iter().find(|port| !known_names.contains(port.name.as_str()));
        stranger.map_or(Ok(()), |port| {
            let (name, known) = (port.shown_name(), brief::names(known.iter().copied()));
            self.fault(format!(
                "the graph asks for input {name}, which is not supported; known: {known}"
            ))
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
