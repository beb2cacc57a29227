//! Loading models, on a thread of its own: steps and calls go on meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use hearth_api::{CallError, ErrorKind};
use hearth_inference::blueprint::folder::{DigestCache, VaeTiling};
use hearth_inference::model::{self, Model};
use hearth_inference::progress::Progress;
use hearth_inference::session::{self, Device, Interrupt, Runtime, Search};
use hearth_inference::{LoadOptions, load};

use super::order::{Order, Profile};
use super::profile;
use crate::config::{Config, ModelSection, RuntimeSection};
use crate::state::Shared;

/// Most loads that wait: one per model is under way at a time.
const WAITING: usize = 128;

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
        source: Box<model::Error>,
    },
    /// The system gives no thread.
    #[error("the loader's thread can't be started")]
    Thread(#[source] std::io::Error),
    /// A fault of the program.
    #[error("the loader failed by a fault of its own: the worker's log says more")]
    Panicked,
}

impl From<&LoadError> for CallError {
    fn from(error: &LoadError) -> Self {
        Self::new(ErrorKind::ModelFailed, "the model can't be loaded").caused_by(error)
    }
}

/// Loads models, and ONNX Runtime with the first of them.
pub(super) struct Loader {
    runtime: RuntimeSection,
    device: String,
    /// The config's word on each model's VAE.
    tilings: BTreeMap<String, VaeTiling>,
    loaded: Option<Runtime>,
    /// A model that wakes from its sleep has the files of before.
    digested: DigestCache,
    shared: Arc<Shared>,
}

impl Loader {
    pub(super) fn new(config: &Config, shared: Arc<Shared>) -> Self {
        let (runtime, device) = (config.runtime.clone(), config.worker.device.clone());
        let tiling = |(name, model): (&String, &ModelSection)| (name.clone(), model.vae_tiling);
        let tilings = config.models.iter().map(tiling).collect();
        Self { runtime, device, tilings, loaded: None, digested: DigestCache::default(), shared }
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
        self.shared.metrics.model_loaded(began.elapsed());
        self.shared.engine.add_loaded(bytes);
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
        let options = LoadOptions { device, vae_tiling, digested: self.digested.clone() };
        load(runtime, path, &options).map_err(failed(name, path))
    }

    pub(super) fn runtime(&mut self) -> Result<Runtime, LoadError> {
        if let Some(runtime) = &self.loaded {
            return Ok(runtime.clone());
        }
        let runtime = self.find().map_err(LoadError::Runtime)?;
        Ok(self.loaded.insert(runtime).clone())
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

/// A model to load.
pub(super) struct ToLoad {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) progress: Progress,
    /// Profile it first.
    pub(super) profile: Option<Box<Profile>>,
}

/// The loader's thread.
pub(super) struct LoaderThread {
    jobs: SyncSender<ToLoad>,
    thread: JoinHandle<()>,
}

impl LoaderThread {
    pub(super) fn start(mut loader: Loader) -> std::io::Result<Self> {
        let (jobs, waiting): (_, Receiver<ToLoad>) = sync_channel(WAITING);
        let work = move || {
            for job in waiting {
                let order = loader.work(job);
                loader.shared.parts.report(order);
            }
        };
        let thread = std::thread::Builder::new().name("loader".to_owned()).spawn(work)?;
        Ok(Self { jobs, thread })
    }

    /// Gives the thread a model; the outcome comes back as an order.
    pub(super) fn load(&self, job: ToLoad) -> Result<(), CallError> {
        self.jobs.try_send(job).map_err(|_| {
            let message = format!("{WAITING} models wait to be loaded: try again later");
            CallError::new(ErrorKind::QueueFull, message)
        })
    }

    pub(super) fn join(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the loader's thread panicked");
        }
    }
}

impl Loader {
    fn work(&mut self, job: ToLoad) -> Order {
        let ToLoad { name, path, progress, profile } = job;
        let profile = profile.map(|profile| {
            let made = super::caught(|| profile::make(self, &profile, &path));
            let made = made.unwrap_or_else(|| Err(CallError::from(&LoadError::Panicked)));
            (made, profile.reply)
        });
        let outcome = super::caught(|| self.load(&name, &path, progress));
        let outcome = outcome.unwrap_or(Err(LoadError::Panicked));
        match profile {
            None => Order::Loaded { name, outcome },
            Some((profile, reply)) => Order::Profiled { name, outcome, profile, reply },
        }
    }

    /// A folder of the worker's own for files of the moment.
    pub(super) fn scratch(&self) -> PathBuf {
        self.shared.dir.join("profiles")
    }
}
