//! A graph as its file says it: read, and not loaded.

use std::path::{Path, PathBuf};

use super::cast::Cast;
use super::form::{Form, Replacement};
use super::onnx::{self, Files};
use super::{Device, Error, Port};
use crate::enclosure::Enclosure;

/// A graph's file, checked, and the form in which a device would run it.
#[derive(Debug, Clone)]
pub struct Graph {
    name: String,
    enclosure: Enclosure,
    path: PathBuf,
    device: Device,
    files: Files,
    form: Form,
}

impl Graph {
    /// Reads the graph at `path` for `device`; `name` names it in errors, such as `unet`.
    ///
    /// The file, and the files of weights that it refers to, must be whole and lie in `enclosure`.
    /// Weights aren't read.
    ///
    /// # Errors
    /// [`Error::ModelFile`] for a truncated or unsafe file, [`Error::Io`].
    pub fn read(
        name: &str,
        enclosure: &Enclosure,
        path: &Path,
        device: Device,
    ) -> Result<Self, Error> {
        let files = onnx::check(enclosure, path)?;
        let form = Form::of(&files, path, device, &[])?;
        let (name, enclosure, path) = (name.to_owned(), enclosure.clone(), path.to_owned());
        Ok(Self { name, enclosure, path, device, files, form })
    }

    /// The same graph with those of `casts` among its inputs and outputs in the types that they say,
    /// if they are floating-point ones and the graph is understood.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that can't be read any more.
    pub fn cast(&self, casts: &[Cast]) -> Result<Self, Error> {
        let form = Form::of(&self.files, &self.path, self.device, casts)?;
        Ok(Self { form, ..self.clone() })
    }

    /// The same graph with an input of one number for each copy of the sample, where its file has one
    /// for all and the graph spreads it over them itself.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that can't be read any more.
    pub fn spread(&self, input: &str) -> Result<Self, Error> {
        let form = self.form.clone().spreading(&self.files, &self.path, input)?;
        Ok(Self { form, ..self.clone() })
    }

    /// What it is called, such as `unet`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The device that it is to run on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// What it consists of on disk, and what it says of itself.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// An input or output as it will be when the graph runs.
    #[must_use]
    pub fn in_form(&self, port: &Port) -> Port {
        self.form.port(port.clone())
    }

    /// The inputs and outputs that are given another type than the file says.
    pub(super) fn casts(&self) -> &[Cast] {
        self.form.casts()
    }

    /// The input that is a list, and a scalar in the file.
    pub(super) fn spread_input(&self) -> Option<&str> {
        self.form.spread()
    }

    /// The graph to be given to ONNX Runtime instead of its file, if it is another.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if the files have changed since they were read: ONNX Runtime maps them
    /// as the graph says.
    pub(super) fn rewritten(&self) -> Result<Option<Replacement>, Error> {
        self.check_unchanged()?;
        self.form.rewritten(&self.path, self.device)
    }

    /// The same in single precision, for values that half can't hold; `None` for a graph that has
    /// no half, or that isn't understood.
    pub(super) fn widened(&self) -> Result<Option<Replacement>, Error> {
        self.check_unchanged()?;
        Replacement::widened(&self.path)
    }

    fn check_unchanged(&self) -> Result<(), Error> {
        if onnx::check(&self.enclosure, &self.path)? == self.files {
            return Ok(());
        }
        let reason = "it was changed while the model was loaded; load it again".to_owned();
        Err(Error::ModelFile { path: self.path.clone(), reason })
    }
}
