//! Loading models on the engine's thread.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use hearth_inference::pipelines::{self, LoadOptions, Pipeline};
use hearth_inference::session::{self, Device, Interrupt, Runtime, Search};
use hearth_protocol::{CallError, ErrorKind};

use crate::config::{Config, ModelSection, RuntimeSection};
use crate::state::Shared;

/// Why a model can't be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// ONNX Runtime can't be had.
    #[error("runtime.library: ONNX Runtime can't be loaded")]
    Runtime(#[source] session::Error),
    /// The model's folder can't be.
    #[error("model {name} ({path})")]
    Model {
        /// The model's name.
        name: String,
        /// Its folder.
        path: PathBuf,
        /// The reason.
        source: Box<pipelines::Error>,
    },
}

impl From<LoadError> for CallError {
    fn from(error: LoadError) -> Self {
        Self::new(ErrorKind::ModelFailed, "the model can't be loaded").caused_by(&error)
    }
}

/// Knows the configured models and loads ONNX Runtime with the first of them.
pub(super) struct Loader {
    models: BTreeMap<String, ModelSection>,
    runtime: RuntimeSection,
    device: String,
    loaded: Option<Runtime>,
}

impl Loader {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            models: config.models.clone(),
            runtime: config.runtime.clone(),
            device: config.worker.device.clone(),
            loaded: None,
        }
    }

    /// The models to load at start.
    pub(super) fn preloaded(&self) -> Vec<String> {
        let preloaded = self.models.iter().filter(|(_, model)| model.preload);
        preloaded.map(|(name, _)| name.clone()).collect()
    }

    /// Loads a model and takes one real step with it.
    pub(super) fn load(
        &mut self,
        name: &str,
        shared: &Shared,
    ) -> Result<Box<dyn Pipeline>, LoadError> {
        let device = Device::parse(&self.device).map_err(LoadError::Runtime)?;
        let runtime = self.runtime().map_err(LoadError::Runtime)?;
        let path = self.models.get(name).map(|model| model.path.clone()).unwrap_or_default();
        let failed = |source: pipelines::Error| LoadError::Model {
            name: name.to_owned(),
            path: path.clone(),
            source: Box::new(source),
        };
        let began = Instant::now();
        let options = LoadOptions { device };
        let mut pipeline = pipelines::load(&runtime, &path, &options).map_err(failed)?;
        let bytes = pipeline.description().weight_bytes;
        shared.metrics.model_loaded();
        shared.engine.add_loaded(bytes);
        let read = began.elapsed();
        pipelines::warm_up(pipeline.as_mut(), &Interrupt::new()).map_err(failed)?;
        let warm = began.elapsed() - read;
        tracing::info!(model = name, bytes, ?read, ?warm, "model loaded");
        Ok(pipeline)
    }

    fn runtime(&mut self) -> Result<Runtime, session::Error> {
        if let Some(runtime) = &self.loaded {
            return Ok(runtime.clone());
        }
        let executable = std::env::current_exe().ok();
        let directory = std::env::current_dir().ok();
        let library = session::find(&Search {
            configured: &self.runtime.library,
            executable: executable.as_deref(),
            directory: directory.as_deref(),
        })?;
        let runtime = Runtime::load(&library, self.runtime.threads)?;
        tracing::info!(library = %library.display(), build = runtime.build(), "ONNX Runtime loaded");
        self.loaded = Some(runtime.clone());
        Ok(runtime)
    }
}
