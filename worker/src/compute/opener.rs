//! Opening models, and ONNX Runtime with the first of them. Which and when is decided elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hearth_inference::blueprint::folder::{DigestCache, VaeTiling};
use hearth_inference::model::{self, Model};
use hearth_inference::progress::Progress;
use hearth_inference::session::{self, Device, Interrupt, Runtime, Search};
use hearth_inference::{LoadOptions, load};

use super::load_error::LoadError;
use crate::config::{Config, ModelSection, RuntimeSection};
use crate::metrics::WorkerMetrics;

/// Opens models on the worker's device.
pub(super) struct Opener {
    runtime: RuntimeSection,
    device: String,
    /// The config's word on each model's VAE.
    tilings: BTreeMap<String, VaeTiling>,
    /// Folders that links in models' folders may lead to.
    allow_links_to: Vec<PathBuf>,
    loaded: Option<Runtime>,
    /// A model that wakes from its sleep has the files of before.
    digested: DigestCache,
    metrics: WorkerMetrics,
    /// The worker's folder of its own.
    dir: PathBuf,
}

impl Opener {
    pub(super) fn new(config: &Config, dir: PathBuf, metrics: WorkerMetrics) -> Self {
        let (runtime, device) = (config.runtime.clone(), config.worker.device.clone());
        let tiling = |(name, model): (&String, &ModelSection)| (name.clone(), model.vae_tiling);
        let tilings = config.models.iter().map(tiling).collect();
        let allow_links_to = config.worker.allow_links_to.clone();
        let digested = DigestCache::default();
        Self { runtime, device, tilings, allow_links_to, loaded: None, digested, metrics, dir }
    }

    /// Loads a model and takes one real step with it.
    pub(super) fn load(
        &mut self,
        name: &str,
        path: &Path,
        progress: Progress,
    ) -> Result<Box<dyn Model>, LoadError> {
        let began = Instant::now();
        let runtime = self.runtime()?.watched(progress);
        let mut model = self.open(&runtime, name, path)?;
        let bytes = model.description().weight_bytes;
        let read = began.elapsed();
        model::warm_up(model.as_mut(), &Interrupt::new()).map_err(failed(name, path))?;
        let warm = began.elapsed() - read;
        self.metrics.model_loaded(began.elapsed(), bytes);
        tracing::info!(model = name, bytes, ?read, ?warm, "model loaded");
        Ok(model)
    }

    /// Opens a model without warming it up.
    pub(super) fn open(
        &self,
        runtime: &Runtime,
        name: &str,
        path: &Path,
    ) -> Result<Box<dyn Model>, LoadError> {
        let device = Device::parse(&self.device).map_err(LoadError::Runtime)?;
        let vae_tiling = self.tilings.get(name).copied().unwrap_or_default();
        let (allow_links_to, digested) = (self.allow_links_to.clone(), self.digested.clone());
        let options = LoadOptions { device, vae_tiling, allow_links_to, digested };
        load(runtime, path, &options).map_err(failed(name, path))
    }

    pub(super) fn runtime(&mut self) -> Result<Runtime, LoadError> {
        if let Some(runtime) = &self.loaded {
            return Ok(runtime.clone());
        }
        let runtime = self.find().map_err(LoadError::Runtime)?;
        Ok(self.loaded.insert(runtime).clone())
    }

    /// A folder of the worker's own for files of the moment.
    pub(super) fn scratch(&self) -> PathBuf {
        self.dir.join("profiles")
    }

    fn find(&self) -> Result<Runtime, session::Error> {
        let executable = std::env::current_exe().ok();
        let directory = std::env::current_dir().ok();
        let library = session::find(&Search {
            configured: &self.runtime.library,
            executable: executable.as_deref(),
            directory: directory.as_deref(),
        })?;
        let runtime = Runtime::load(&library, self.runtime.threads)?;
        tracing::info!(library = %library.display(), build = runtime.build(), "ONNX Runtime loaded");
        Ok(runtime)
    }
}

fn failed(name: &str, path: &Path) -> impl FnOnce(model::Error) -> LoadError {
    let (name, path) = (name.to_owned(), path.to_owned());
    move |source| LoadError::Model { name, path, source: Box::new(source) }
}
