//! The form in which a graph is given to ONNX Runtime: its file, or a rewriting of it.
//!
//! What comes of it is known from the file's header before anything is loaded, so that a folder is
//! judged by the element types that its graphs will have when they run.

use std::path::Path;

use hearth_api::tensor::Dtype;

use super::cast::Cast;
use super::onnx::Files;
use super::port::Port;
use super::{Device, Error, recast, widen};

/// What a file's header calls half precision.
const HALF: &str = "float16";

/// A model in one piece can't be longer.
const MAX_MODEL: usize = i32::MAX as usize;

/// A graph's form.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// In single precision, where the file has half.
    wide: Option<Vec<u8>>,
    /// The inputs and outputs that have another type than the graph, or its wide form, gives them.
    casts: Vec<Cast>,
}

/// A graph that was rewritten.
pub(super) struct Replacement {
    pub(super) bytes: Vec<u8>,
    /// Whether it is in single precision now.
    pub(super) widened: bool,
}

impl Form {
    /// The form of the model in `files`, with `casts` where it has such inputs and outputs.
    pub(super) fn of(
        files: &Files,
        model: &Path,
        device: Device,
        casts: &[Cast],
    ) -> Result<Self, Error> {
        let ports = || files.header.inputs.iter().chain(&files.header.outputs).flatten();
        let has_half = files.header.weights.contains_key(&HALF);
        let wide = match device {
            // Only where weights lie in other files is the graph small enough to be rewritten.
            Device::Cpu if !files.external.is_empty() && has_half && files.are_beside(model) => {
                widen::widen(&read(model)?)
            }
            _ => None,
        };
        let mut form = Self { wide, casts: Vec::new() };
        let differs = |cast: &&Cast| {
            let port = ports().find(|port| port.name == cast.name);
            let dtype = port.map(|port| form.dtype(port));
            [Dtype::F32, Dtype::F16].iter().any(|&own| own != cast.to && dtype == Some(own))
        };
        if files.are_beside(model) {
            form.casts = casts.iter().filter(differs).cloned().collect();
        }
        Ok(form)
    }

    /// The inputs and outputs that have another type than the graph, or its wide form, gives them.
    pub(super) fn casts(&self) -> &[Cast] {
        &self.casts
    }

    /// The port as the graph has it in this form.
    pub(super) fn port(&self, port: Port) -> Port {
        Port { dtype: self.dtype(&port), ..port }
    }

    fn dtype(&self, port: &Port) -> Dtype {
        if let Some(cast) = self.casts.iter().find(|cast| cast.name == port.name) {
            return cast.to;
        }
        match port.dtype {
            Dtype::F16 if self.wide.is_some() => Dtype::F32,
            own => own,
        }
    }

    /// The model in this form; `None` if that is its file, or if it isn't understood.
    pub(super) fn rewritten(
        &self,
        model: &Path,
        device: Device,
    ) -> Result<Option<Replacement>, Error> {
        let Self { wide, casts } = self;
        let mut widened = wide.is_some();
        if casts.is_empty() {
            return Ok(wide.clone().map(|bytes| Replacement { bytes, widened }));
        }
        let mut bytes = match wide {
            Some(wide) => wide.clone(),
            None => read(model)?,
        };
        // Processors have no kernels for half precision, so nothing is lost by all of it in single.
        if device == Device::Cpu
            && casts.iter().all(|cast| cast.to == Dtype::F32)
            && let Some(wide) = widen::widen_all(&bytes).filter(|wide| wide.len() <= MAX_MODEL)
        {
            (bytes, widened) = (wide, true);
        }
        let recast = recast::recast(&bytes, casts);
        Ok(recast.map(|bytes| Replacement { bytes, widened }))
    }
}

impl Replacement {
    /// The model in single precision, if it has any half; `None` if it isn't understood.
    pub(super) fn widened(model: &Path) -> Result<Option<Self>, Error> {
        let wide = widen::widen_all(&read(model)?);
        Ok(wide.map(|bytes| Self { bytes, widened: true }))
    }
}

/// The whole file.
fn read(model: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(model).map_err(|source| Error::Io { path: model.to_owned(), source })
}
