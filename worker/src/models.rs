//! The worker's models: which there are, whether each is in memory, and what is known of it.
//!
//! The engine alone loads and drops them; here it is only written down, for those who ask meanwhile.

mod list;

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hearth_api::{CallError, ErrorKind};
use hearth_inference::model::{Description, Model as Loaded, Prepare};
use hearth_inference::progress::Progress;
use tokio::sync::watch;

/// Most models of one worker.
const MOST: usize = 64;
/// Pause before a model that can't be loaded is tried again, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A model by its name.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// The name that requests use.
    pub(crate) name: String,
    /// Other names for it.
    pub(crate) aliases: Vec<String>,
    /// Its folder.
    pub(crate) path: PathBuf,
    /// Whether the config names it; others are forgotten when they are unloaded.
    pub(crate) configured: bool,
    /// Times that it could not be loaded since it was last.
    pub(crate) failures: u32,
    pub(crate) hold: Hold,
}

/// Whether a model is in memory.
#[derive(Debug, Clone)]
pub(crate) enum Hold {
    /// It is read when it is first asked for.
    OnDemand,
    /// It is being read.
    Loading(Progress),
    /// It takes requests.
    Ready(Arc<Known>),
    /// It finishes what it has, and takes nothing new meanwhile.
    Closing(Arc<Known>, Closing),
    /// It was given back by `sleep`.
    Sleeping(Arc<Known>),
    /// It can't be read.
    Failed { error: CallError, again_at: Instant },
    /// It was taken out by `unload_model`.
    Unloaded,
}

/// What is known of a model that was loaded, for those who ask while it computes.
pub(crate) struct Known {
    pub(crate) description: Arc<Description>,
    /// None for a model that generates nothing.
    pub(crate) preparer: Option<Arc<dyn Prepare>>,
}

impl Known {
    pub(crate) fn of(model: &dyn Loaded) -> Arc<Self> {
        let description = Arc::clone(model.description());
        Arc::new(Self { description, preparer: model.preparer() })
    }
}

impl Deref for Known {
    type Target = Description;

    fn deref(&self) -> &Description {
        &self.description
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description.fmt(f)
    }
}

/// Why a model takes nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It is to leave memory.
    Unload,
    /// It is to be profiled.
    Profile,
}

impl Hold {
    fn description(&self) -> Option<&Arc<Known>> {
        match self {
            Self::Ready(known) | Self::Closing(known, _) | Self::Sleeping(known) => Some(known),
            Self::OnDemand | Self::Loading(_) | Self::Failed { .. } | Self::Unloaded => None,
        }
    }
}

/// The models, in the order of the config.
pub(crate) struct Models {
    list: RwLock<Vec<Model>>,
    /// Something has changed that the registry's record says.
    changed: watch::Sender<()>,
}

/// What a request's `model` stands for.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) name: String,
    /// Known once the folder was loaded.
    pub(crate) description: Option<Arc<Known>>,
}

impl Models {
    pub(crate) fn new(models: Vec<Model>) -> Self {
        Self { list: RwLock::new(models), changed: watch::Sender::new(()) }
    }

    /// Follows changes.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The record is to be written again.
    pub(crate) fn touch(&self) {
        self.changed.send_replace(());
    }

    fn read<T>(&self, look: impl FnOnce(&[Model]) -> T) -> T {
        look(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Vec<Model>) -> T) -> T {
        let changed = change(&mut self.list.write().unwrap_or_else(PoisonError::into_inner));
        self.touch();
        changed
    }

    /// The model behind a request's `model`; the only one where it is absent.
    pub(crate) fn resolve(
        &self,
        wanted: Option<&str>,
        now: Instant,
    ) -> Result<Resolved, CallError> {
        self.read(|models| {
            let served = || models.iter().filter(|model| !matches!(model.hold, Hold::Unloaded));
            let known = || {
                let names: Vec<_> = served().map(|model| model.name.as_str()).collect();
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            };
            let found = match (wanted, served().count()) {
                (Some(name), _) => models.iter().find(|model| model.is_called(name)),
                (None, 1) => served().next(),
                (None, _) => {
                    let message = format!("model is absent: this worker has {}", known());
                    return Err(CallError::invalid("model", message));
                }
            };
            let name = wanted.unwrap_or_default();
            let unknown =
                || unknown(format!("model {name:?} is not here: this worker has {}", known()));
            found.ok_or_else(unknown)?.open(now)
        })
    }

    /// The model of exactly this name.
    pub(crate) fn get(&self, name: &str) -> Option<Model> {
        self.read(|models| models.iter().find(|model| model.name == name).cloned())
    }

    /// Those that [`Models::set`] has brought to a state.
    pub(crate) fn names(&self, of: impl Fn(&Hold) -> bool) -> Vec<String> {
        self.read(|models| {
            models.iter().filter(|model| of(&model.hold)).map(|model| model.name.clone()).collect()
        })
    }

    /// Writes down how a model is now.
    pub(crate) fn set(&self, name: &str, hold: Hold) {
        self.write(|models| {
            if let Some(model) = models.iter_mut().find(|model| model.name == name) {
                if matches!(hold, Hold::Ready(_)) {
                    model.failures = 0;
                }
                model.hold = hold;
            }
        });
    }

    /// Writes down that a model can't be loaded, and when that is tried again.
    pub(crate) fn set_failed(&self, name: &str, error: CallError, now: Instant) {
        self.write(|models| {
            if let Some(model) = models.iter_mut().find(|model| model.name == name) {
                let pause = FIRST_PAUSE * 2_u32.pow(model.failures.min(16));
                model.failures = model.failures.saturating_add(1);
                model.hold = Hold::Failed { error, again_at: now + pause.min(LONGEST_PAUSE) };
            }
        });
    }

    /// Keeps a model from new requests until it is unloaded or profiled. Gives its description, or
    /// none for one that is not in memory.
    pub(crate) fn close(
        &self,
        name: &str,
        closing: Closing,
    ) -> Result<Option<Arc<Known>>, CallError> {
        self.write(|models| {
            let names: Vec<_> = models.iter().map(|model| model.name.clone()).collect();
            let model = models.iter_mut().find(|model| model.name == name);
            let model = model.ok_or_else(|| {
                let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                unknown(format!("model {name:?} is not here: this worker has {there}"))
            })?;
            let busy = |what: &str| {
                let message = format!("model {name:?} is being {what}: try again when it is done");
                Err(CallError::new(ErrorKind::NotReady, message))
            };
            match &model.hold {
                Hold::Loading(_) => busy("loaded"),
                Hold::Closing(_, Closing::Profile) => busy("profiled"),
                Hold::Closing(..) if closing == Closing::Profile => busy("unloaded"),
                Hold::Ready(known) | Hold::Closing(known, _) => {
                    let known = Arc::clone(known);
                    model.hold = Hold::Closing(Arc::clone(&known), closing);
                    Ok(Some(known))
                }
                Hold::OnDemand | Hold::Failed { .. } | Hold::Unloaded | Hold::Sleeping(_) => {
                    Ok(None)
                }
            }
        })
    }

    /// A model that left memory: the config's own stay listed, others are forgotten.
    pub(crate) fn unloaded(&self, name: &str) {
        self.write(|models| {
            models.retain(|model| model.configured || model.name != name);
            if let Some(model) = models.iter_mut().find(|model| model.name == name) {
                model.hold = Hold::Unloaded;
            }
        });
    }

    /// Adds a model of an administrator's. One of the same name and folder is left as it is; says
    /// whether it is new.
    pub(crate) fn add(&self, model: Model) -> Result<bool, CallError> {
        self.write(|models| {
            if let Some(known) = models.iter().find(|known| known.name == model.name) {
                if known.path == model.path {
                    return Ok(false);
                }
                let message = format!(
                    "model {:?} is there from another folder: unload it first, or choose another name",
                    model.name
                );
                return Err(CallError::invalid("name", message));
            }
            let called = std::iter::once(&model.name).chain(&model.aliases);
            for name in called {
                if let Some(known) = models.iter().find(|known| known.is_called(name)) {
                    let message =
                        format!("{name:?} is a name of model {:?}: choose another", known.name);
                    return Err(CallError::invalid("aliases", message));
                }
            }
            if models.len() >= MOST {
                let message = format!("{MOST} models are here, the most of one worker: unload one");
                return Err(CallError::new(ErrorKind::TooLarge, message));
            }
            models.push(model);
            Ok(true)
        })
    }

    /// Takes back what [`Models::add`] has added.
    pub(crate) fn forget(&self, name: &str) {
        self.write(|models| models.retain(|model| model.name != name));
    }

    /// How much of the models that are being loaded is read, the mean of all that are there or to be.
    pub(crate) fn percent(&self) -> u8 {
        self.read(|models| {
            let share = |model: &Model| match &model.hold {
                Hold::Loading(progress) => Some(u64::from(progress.percent())),
                Hold::Ready(_) | Hold::Closing(..) => Some(100),
                _ => None,
            };
            let shares: Vec<u64> = models.iter().filter_map(share).collect();
            let mean = shares.iter().sum::<u64>().checked_div(shares.len() as u64);
            u8::try_from(mean.unwrap_or(0).min(99)).unwrap_or(99)
        })
    }
}

impl Model {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// The model, if it takes requests or is worth a try.
    fn open(&self, now: Instant) -> Result<Resolved, CallError> {
        let name = &self.name;
        let not_ready = |message: String| Err(CallError::new(ErrorKind::NotReady, message));
        match &self.hold {
            Hold::Unloaded | Hold::Closing(_, Closing::Unload) => Err(unknown(format!(
                "model {name:?} was unloaded here: hearth load brings it back"
            ))),
            Hold::Closing(_, Closing::Profile) => {
                not_ready(format!("model {name:?} is being profiled: try again in a moment"))
            }
            Hold::Sleeping(_) => not_ready("the worker sleeps: hearth wake ends that".to_owned()),
            Hold::Failed { error, again_at, .. } if now < *again_at => {
                let left = again_at.duration_since(now).as_secs() + 1;
                let message =
                    format!("model {name:?} could not be loaded; tried again in {left} s");
                // Another worker's copy may be whole.
                Err(CallError { message, retryable: true, ..error.clone() })
            }
            Hold::Failed { .. } | Hold::OnDemand | Hold::Loading(_) | Hold::Ready(_) => {
                let description = self.hold.description().cloned();
                Ok(Resolved { name: name.clone(), description })
            }
        }
    }
}

fn unknown(message: String) -> CallError {
    CallError {
        param: Some("model".to_owned()),
        ..CallError::new(ErrorKind::UnknownModel, message)
    }
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
