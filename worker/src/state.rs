//! What the worker's halves share: who it is, what it does, what it has counted.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hearth_fabric::identity::CurrentIdentity;
use hearth_inference::pipelines::Description;
use hearth_protocol::methods::{ModelInfo, ModelState};
use hearth_protocol::record::{Capacity, ModelRecord, WorkerState};
use hearth_protocol::{CallError, ErrorKind, Group, Incarnation, Rank, WorkerId};
use hearth_telemetry::metrics::WorkerMetrics;
use hearth_telemetry::procinfo::Process;
use tokio::sync::watch;

use crate::parts::Parts;

/// The worker as its methods see it.
pub(crate) struct Shared {
    pub(crate) id: WorkerId,
    pub(crate) group: Group,
    pub(crate) incarnation: Incarnation,
    pub(crate) capacity: Capacity,
    pub(crate) process: Process,
    pub(crate) parts: Arc<Parts>,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) models: Models,
    pub(crate) engine: EngineGauge,
    pub(crate) connections: AtomicU32,
    /// Time that one step may take before the worker counts as hung.
    pub(crate) step_timeout: Duration,
    /// Whether this run is about to end.
    pub(crate) ending: Mutex<bool>,
    /// What the worker does now.
    pub(crate) state: watch::Sender<WorkerState>,
    /// The rank that the registry confirmed last; none while it has not.
    pub(crate) rank: watch::Sender<Option<Rank>>,
    /// Whether the registry has the worker's record, as far as is known.
    pub(crate) registered: AtomicBool,
    /// Why the registry has not taken the record, as far as is known.
    pub(crate) pending: Mutex<Option<String>>,
    /// The certificate.
    pub(crate) identity: CurrentIdentity,
    /// Asked to end by a call.
    pub(crate) shutdown: tokio_util::sync::CancellationToken,
    /// Kept across restarts.
    pub(crate) drain_marker: std::path::PathBuf,
}

impl Shared {
    /// Refuses new requests from now on; those accepted are finished. Survives a restart.
    pub(crate) fn drain(&self) {
        if let Err(error) = std::fs::write(&self.drain_marker, b"") {
            tracing::warn!(%error, "the drain will not survive a restart");
        }
        let ending = self.ending();
        self.parts.set_draining(true);
        self.settle(ending);
    }

    /// Takes requests again.
    ///
    /// # Errors
    /// `draining` for a worker that is about to end.
    pub(crate) fn resume(&self) -> Result<(), CallError> {
        let removed = std::fs::remove_file(&self.drain_marker);
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the worker will drain again after a restart");
        }
        let ending = self.ending();
        if *ending {
            let message = "the worker is about to end: start it again";
            return Err(CallError::new(ErrorKind::Draining, message));
        }
        self.parts.set_draining(false);
        self.settle(ending);
        Ok(())
    }

    /// Refuses new requests for the rest of this run.
    pub(crate) fn end(&self) {
        let mut ending = self.ending();
        *ending = true;
        self.parts.set_draining(true);
        self.settle(ending);
    }

    /// Whether this run is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        *self.ending()
    }

    /// The models of the start are there. Gives what the worker does now.
    pub(crate) fn started(&self) -> WorkerState {
        self.settle(self.ending())
    }

    fn ending(&self) -> MutexGuard<'_, bool> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the worker does now. Under the lock, so that the last change is said last.
    fn settle(&self, _ending: MutexGuard<'_, bool>) -> WorkerState {
        let state = match (self.parts.is_draining(), self.models.loaded()) {
            (true, _) => WorkerState::Draining,
            (false, true) => WorkerState::Ready,
            (false, false) => WorkerState::Loading,
        };
        self.state.send_replace(state);
        state
    }

    /// An error, with the word of where it happened.
    pub(crate) fn located(&self, error: CallError) -> CallError {
        error.at(&self.id, *self.rank.borrow())
    }

    /// Why the worker is not registered; none where that is not known.
    pub(crate) fn pending(&self) -> MutexGuard<'_, Option<String>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a step takes that takes longer than it may; none while all is well.
    pub(crate) fn hung(&self) -> Option<Duration> {
        let loading = *self.state.borrow() == WorkerState::Loading;
        let busy = self.engine.busy_for();
        (!loading && busy > self.step_timeout).then_some(busy)
    }
}

/// Since when the engine has been at one piece of work.
#[derive(Default)]
pub(crate) struct EngineGauge {
    since: Mutex<Option<Instant>>,
    /// Bytes of weights read.
    loaded_bytes: AtomicU64,
}

impl EngineGauge {
    /// Runs `work` and notes how long it takes meanwhile.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let set = |value| *self.since.lock().unwrap_or_else(PoisonError::into_inner) = value;
        set(Some(Instant::now()));
        let result = work();
        set(None);
        result
    }

    /// How long the engine has been at its work; zero when it waits.
    pub(crate) fn busy_for(&self) -> Duration {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(crate) fn add_loaded(&self, bytes: u64) {
        self.loaded_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn loaded_bytes(&self) -> u64 {
        self.loaded_bytes.load(Ordering::Relaxed)
    }
}

/// The configured models and what is known of each.
pub(crate) struct Models(RwLock<Vec<Model>>);

pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) preload: bool,
    /// Known once the folder was loaded.
    pub(crate) description: Option<Arc<Description>>,
}

impl Models {
    pub(crate) fn new(models: Vec<Model>) -> Self {
        Self(RwLock::new(models))
    }

    /// The name and description behind a request's `model`; the only model where it is absent.
    pub(crate) fn resolve(
        &self,
        wanted: Option<&str>,
    ) -> Result<(String, Option<Arc<Description>>), CallError> {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = || models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = match wanted {
            Some(name) => {
                let named = |m: &&Model| m.name == name || m.aliases.iter().any(|a| a == name);
                models.iter().find(named).ok_or_else(|| CallError {
                    param: Some("model".to_owned()),
                    ..CallError::new(
                        ErrorKind::UnknownModel,
                        format!("model {name:?} is not here: this worker has {}", known()),
                    )
                })?
            }
            None if models.len() == 1 => &models[0],
            None => {
                let message = format!("model is absent: this worker has {}", known());
                return Err(CallError::invalid("model", message));
            }
        };
        Ok((found.name.clone(), found.description.clone()))
    }

    pub(crate) fn set_loaded(&self, name: &str, description: Arc<Description>) {
        let mut models = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = models.iter_mut().find(|model| model.name == name) {
            model.description = Some(description);
        }
    }

    /// Whether all that is loaded at start is there.
    pub(crate) fn loaded(&self) -> bool {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        models.iter().all(|model| model.description.is_some() || !model.preload)
    }

    pub(crate) fn list(&self) -> Vec<ModelInfo> {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        models.iter().map(info).collect()
    }

    pub(crate) fn records(&self) -> Vec<ModelRecord> {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let record = |model: &Model| ModelRecord {
            name: model.name.clone(),
            aliases: model.aliases.clone(),
            digest: model.description.as_ref().map_or_else(String::new, |d| d.digest.clone()),
        };
        models.iter().map(record).collect()
    }
}

fn info(model: &Model) -> ModelInfo {
    let description = model.description.as_deref();
    ModelInfo {
        name: model.name.clone(),
        aliases: model.aliases.clone(),
        state: if description.is_some() { ModelState::Ready } else { ModelState::Loading },
        digest: description.map_or_else(String::new, |d| d.digest.clone()),
        family: description.map_or_else(String::new, |d| d.family.to_string()),
        tasks: description.map_or_else(Vec::new, |d| texts(&d.tasks)),
        weight_bytes: description.map_or(0, |d| d.weight_bytes),
        default_width: description.map_or(0, |d| d.default_width),
        default_height: description.map_or(0, |d| d.default_height),
        size_factor: description.map_or(0, |d| d.size_factor),
        max_size: description.map_or(0, |d| d.max_size),
        default_steps: description.map_or(0, |d| d.default_steps),
        default_guidance: description.map_or(0.0, |d| d.default_guidance_scale),
        scheduler: description.map_or_else(String::new, |d| d.scheduler.clone()),
        max_prompt_tokens: description
            .map_or(0, |d| u32::try_from(d.max_prompt_tokens).unwrap_or(u32::MAX)),
        fields: description.map_or_else(Vec::new, |d| texts(&d.fields)),
        schedulers: description.map_or_else(Vec::new, |d| texts(&d.schedulers)),
        classes: description.and_then(|d| d.classes),
    }
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
