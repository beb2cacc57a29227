//! The list of models, and the rules of how each changes.

use std::time::{Duration, Instant};

use hearth_api::{CallError, ErrorKind};

use super::model::{Facts, Model, Reservation, Residency};

/// Most models of one worker.
pub(super) const MOST: usize = 64;
/// Pause before a model that can't be loaded is tried again, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The models, in the order of the config.
pub(crate) struct Models {
    pub(super) list: Vec<Model>,
    /// Something has changed that the registry's record says.
    changed: bool,
}

/// What a request's `model` stands for.
#[derive(Debug)]
pub(crate) struct ModelChoice {
    pub(crate) name: String,
    /// Known once the folder was loaded.
    pub(crate) facts: Option<Facts>,
}

impl Models {
    pub(crate) fn new(list: Vec<Model>) -> Self {
        Self { list, changed: false }
    }

    /// Whether something has changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn find(&mut self, name: &str) -> Option<&mut Model> {
        self.changed = true;
        self.list.iter_mut().find(|model| model.name == name)
    }

    /// The model behind a request's `model`; the only one where it is absent.
    pub(crate) fn resolve(
        &self,
        wanted: Option<&str>,
        now: Instant,
    ) -> Result<ModelChoice, CallError> {
        let served =
            || self.list.iter().filter(|model| !matches!(model.residency, Residency::Unloaded));
        let names = || joined(served());
        let found = match (wanted, served().count()) {
            (Some(name), _) => self.list.iter().find(|model| model.is_called(name)),
            (None, 1) => served().next(),
            (None, _) => {
                let message = format!("model is absent: this worker has {}", names());
                return Err(CallError::invalid("model", message));
            }
        };
        let name = wanted.unwrap_or_default();
        let unknown =
            || unknown(format!("model {name:?} is not here: this worker has {}", names()));
        open(found.ok_or_else(unknown)?, now)
    }

    /// The model of exactly this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Model> {
        self.list.iter().find(|model| model.name == name)
    }

    /// Fails for a model that is not listed.
    ///
    /// # Errors
    /// `unknown_model`.
    pub(crate) fn check_listed(&self, name: &str) -> Result<(), CallError> {
        if self.get(name).is_some() {
            return Ok(());
        }
        let listed = self.names(|_| true).join(", ");
        let message = format!("model {name:?} is not configured here ({listed}): give its path");
        let error = CallError::new(ErrorKind::UnknownModel, message);
        Err(CallError { param: Some("name".to_owned()), ..error })
    }

    /// Whether a model can compute.
    pub(crate) fn is_resident(&self, name: &str) -> bool {
        self.get(name).is_some_and(|model| model.residency.is_resident())
    }

    /// The models whose residency is as asked.
    pub(crate) fn names(&self, of: impl Fn(&Residency) -> bool) -> Vec<String> {
        let models = self.list.iter().filter(|model| of(&model.residency));
        models.map(|model| model.name.clone()).collect()
    }

    /// Writes down how a model is now.
    pub(crate) fn set(&mut self, name: &str, residency: Residency) {
        if let Some(model) = self.find(name) {
            if matches!(residency, Residency::Ready(_)) {
                model.failures = 0;
            }
            model.residency = residency;
        }
    }

    /// Writes down that a model can't be loaded, and when that is tried again.
    pub(crate) fn set_failed(&mut self, name: &str, error: CallError, now: Instant) {
        if let Some(model) = self.find(name) {
            let pause = FIRST_PAUSE * 2_u32.pow(model.failures.min(16));
            model.failures = model.failures.saturating_add(1);
            let again_at = now + pause.min(LONGEST_PAUSE);
            model.residency = Residency::Failed { error, again_at };
        }
    }

    /// Writes down that a model has left memory for now.
    pub(crate) fn evict(&mut self, name: &str) {
        let facts = self.get(name).and_then(|model| model.residency.facts()).cloned();
        if let Some(facts) = facts {
            self.set(name, Residency::Evicted(facts));
        }
    }

    /// Keeps a model from new requests until it is unloaded or profiled. Says whether it is in
    /// memory; one that is not needs no reservation.
    pub(crate) fn reserve(
        &mut self,
        name: &str,
        reservation: Reservation,
    ) -> Result<bool, CallError> {
        let Some(model) = self.get(name) else {
            let there = joined(self.list.iter());
            return Err(unknown(format!("model {name:?} is not here: this worker has {there}")));
        };
        let busy = |what: &str| {
            let message = format!("model {name:?} is being {what}: try again when it is done");
            Err(CallError::new(ErrorKind::NotReady, message))
        };
        match (&model.residency, reservation) {
            (Residency::Loading(_), _) => busy("loaded"),
            (Residency::Reserved(_, Reservation::Profile), _) => busy("profiled"),
            (Residency::Reserved(_, Reservation::Unload), Reservation::Profile) => busy("unloaded"),
            (Residency::Reserved(_, Reservation::Unload), Reservation::Unload) => Ok(true),
            (Residency::Ready(facts), _) => {
                let facts = facts.clone();
                self.set(name, Residency::Reserved(facts, reservation));
                Ok(true)
            }
            (
                Residency::OnDemand
                | Residency::Failed { .. }
                | Residency::Unloaded
                | Residency::Evicted(_),
                _,
            ) => Ok(false),
        }
    }

    /// Opens a reserved model to requests again.
    pub(crate) fn release(&mut self, name: &str) {
        if let Some(Residency::Reserved(facts, _)) = self.get(name).map(|model| &model.residency) {
            let facts = facts.clone();
            self.set(name, Residency::Ready(facts));
        }
    }

    /// A model that left memory: the config's own stay listed, others are forgotten.
    pub(crate) fn unload(&mut self, name: &str) {
        self.set(name, Residency::Unloaded);
        self.list.retain(|model| model.configured || model.name != name);
    }

    /// Adds a model of an administrator's. One of the same name and folder is left as it is; says
    /// whether it is new.
    pub(crate) fn add(&mut self, model: Model) -> Result<bool, CallError> {
        if let Some(same) = self.get(&model.name) {
            if same.path == model.path {
                return Ok(false);
            }
            let message = format!(
                "model {:?} is there from another folder: unload it first, or choose another name",
                model.name
            );
            return Err(CallError::invalid("name", message));
        }
        for name in std::iter::once(&model.name).chain(&model.aliases) {
            if let Some(other) = self.list.iter().find(|other| other.is_called(name)) {
                let message =
                    format!("{name:?} is a name of model {:?}: choose another", other.name);
                return Err(CallError::invalid("aliases", message));
            }
        }
        if self.list.len() >= MOST {
            let message = format!("{MOST} models are here, the most of one worker: unload one");
            return Err(CallError::new(ErrorKind::TooLarge, message));
        }
        self.list.push(model);
        self.changed = true;
        Ok(true)
    }

    /// Takes back what [`Models::add`] has added.
    pub(crate) fn forget(&mut self, name: &str) {
        self.list.retain(|model| model.name != name);
        self.changed = true;
    }
}

fn joined<'a>(models: impl Iterator<Item = &'a Model>) -> String {
    let names: Vec<_> = models.map(|model| model.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The model, if it takes requests or is worth a try.
fn open(model: &Model, now: Instant) -> Result<ModelChoice, CallError> {
    let name = &model.name;
    match &model.residency {
        Residency::Unloaded | Residency::Reserved(_, Reservation::Unload) => {
            Err(unknown(format!("model {name:?} was unloaded here: hearth load brings it back")))
        }
        Residency::Reserved(_, Reservation::Profile) => {
            let message = format!("model {name:?} is being profiled: try again in a moment");
            Err(CallError::new(ErrorKind::NotReady, message))
        }
        Residency::Failed { error, again_at } if now < *again_at => {
            let left = again_at.duration_since(now).as_secs() + 1;
            let message = format!("model {name:?} could not be loaded; tried again in {left} s");
            // Another worker's copy may be whole.
            Err(CallError { message, retryable: true, ..error.clone() })
        }
        Residency::Failed { .. }
        | Residency::OnDemand
        | Residency::Loading(_)
        | Residency::Evicted(_)
        | Residency::Ready(_) => {
            Ok(ModelChoice { name: name.clone(), facts: model.residency.facts().cloned() })
        }
    }
}

fn unknown(message: String) -> CallError {
    CallError {
        param: Some("model".to_owned()),
        ..CallError::new(ErrorKind::UnknownModel, message)
    }
}
