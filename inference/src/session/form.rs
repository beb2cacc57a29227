//! The form in which a graph is given to ONNX Runtime: its file, or a rewriting of it.
//!
//! What comes of it is known from the file's header before anything is loaded, so that a folder is
//! judged by the element types that its graphs will have when they run.

use std::path::Path;

use hearth_api::tensor::Dtype;

use super::cast::Cast;
use super::onnx::Files;
use super::port::Port;
use super::{Device, Error, recast, spread, widen};

/// What a file's header calls half precision.
const HALF: &str = "float16";

/// A model in one piece can't be longer.
const MAX_MODEL: usize = i32::MAX as usize;

/// The largest model in one piece that is rewritten for what is of use and can be done without: it is
/// in memory twice then.
const SMALL: u64 = 64 << 20;

/// A graph's form.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// In single precision, where the file has half.
    wide: Option<Vec<u8>>,
    /// The inputs and outputs that have another type than the graph, or its wide form, gives them.
    casts: Vec<Cast>,
    /// The input that is a list, and a scalar in the file.
    spread: Option<String>,
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
        let mut form = Self { wide, casts: Vec::new(), spread: None };
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

    /// The same with an input that has one number for each copy of the sample, where the file's has one
    /// for all, the graph spreads it over them itself, and it is small enough to be rewritten.
    pub(super) fn spreading(self, files: &Files, model: &Path, input: &str) -> Result<Self, Error> {
        let mut inputs = files.header.inputs.iter().flatten();
        let is_scalar = inputs.any(|port| port.name == input && port.rank() == 0);
        let is_small = !files.external.is_empty() || files.bytes <= SMALL;
        if !(is_scalar && is_small && files.are_beside(model)) {
            return Ok(self);
        }
        let can_be = match &self.wide {
            Some(wide) => spread::spread(wide, input).is_some(),
            None => spread::spread(&read(model)?, input).is_some(),
        };
        Ok(Self { spread: can_be.then(|| input.to_owned()), ..self })
    }

    /// The inputs and outputs that have another type than the graph, or its wide form, gives them.
    pub(super) fn casts(&self) -> &[Cast] {
        &self.casts
    }

    /// The input that is a list, and a scalar in the file.
    pub(super) fn spread(&self) -> Option<&str> {
        self.spread.as_deref()
    }

    /// The port as the graph has it in this form.
    pub(super) fn port(&self, port: Port) -> Port {
        let is_list = self.spread.as_ref() == Some(&port.name);
        let dims = if is_list { vec![None] } else { port.dims.clone() };
        Port { dtype: self.dtype(&port), dims, ..port }
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
        let Self { wide, casts, spread } = self;
        let mut widened = wide.is_some();
        if casts.is_empty() && spread.is_none() {
            return Ok(wide.clone().map(|bytes| Replacement { bytes, widened }));
        }
        let mut bytes = match wide {
            Some(wide) => wide.clone(),
            None => read(model)?,
        };
        // Processors have no kernels for half precision, so nothing is lost by all of it in single.
        if device == Device::Cpu
            && !casts.is_empty()
            && casts.iter().all(|cast| cast.to == Dtype::F32)
            && let Some(wide) = widen::widen_all(&bytes).filter(|wide| wide.len() <= MAX_MODEL)
        {
            (bytes, widened) = (wide, true);
        }
        let recast = match casts.is_empty() {
            true => Some(bytes),
            false => recast::recast(&bytes, casts),
        };
        let rewritten = recast.and_then(|bytes| match spread {
            Some(input) => spread::spread(&bytes, input),
            None => Some(bytes),
        });
        Ok(rewritten.map(|bytes| Replacement { bytes, widened }))
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
