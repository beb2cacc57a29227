//! The models as `list_models` and the registry's record say them.

use hearth_inference::model::{Defaults, Description};
use hearth_protocol::methods::{ModelInfo, ModelState, SequenceLength, TaskDefaults};
use hearth_protocol::record::ModelRecord;

use super::list::Models;
use super::model::{Model, Reservation, Residency};

impl Models {
    /// What `list_models` says.
    pub(crate) fn list(&self) -> Vec<ModelInfo> {
        self.list.iter().map(info).collect()
    }

    /// How many models are in each state, and the bytes of weights in memory.
    pub(crate) fn figures(&self) -> (Vec<(&'static str, usize)>, u64) {
        let state = |model: &Model| match model.residency {
            Residency::OnDemand => "on_demand",
            Residency::Loading(_) => "loading",
            Residency::Ready(_) | Residency::Reserved(..) => "ready",
            Residency::Evicted(_) => "sleeping",
            Residency::Failed { .. } => "failed",
            Residency::Unloaded => "unloaded",
        };
        let states = ["on_demand", "loading", "ready", "sleeping", "failed", "unloaded"];
        let of = |wanted| self.list.iter().filter(move |model| state(model) == wanted);
        let counts = states.map(|wanted| (wanted, of(wanted).count())).to_vec();
        let bytes = of("ready").filter_map(description).map(|known| known.weight_bytes);
        (counts, bytes.sum())
    }

    /// What `list_models` says of one.
    pub(crate) fn info(&self, name: &str) -> Option<ModelInfo> {
        self.get(name).map(info)
    }

    /// What the registry's record says: those that requests may ask for.
    pub(crate) fn records(&self) -> Vec<ModelRecord> {
        let record = |model: &Model| ModelRecord {
            name: model.name.clone(),
            aliases: model.aliases.clone(),
            digest: description(model).map_or_else(String::new, |d| d.digest.clone()),
        };
        let served = |model: &&Model| {
            let unloads = matches!(model.residency, Residency::Reserved(_, Reservation::Unload));
            !unloads && !matches!(model.residency, Residency::Unloaded)
        };
        self.list.iter().filter(served).map(record).collect()
    }

    /// How much of the models that are being loaded is read, the mean of all that are there or to be.
    pub(crate) fn percent(&self) -> u8 {
        let share = |model: &Model| match &model.residency {
            Residency::Loading(progress) => Some(u64::from(progress.percent())),
            Residency::Ready(_) | Residency::Reserved(..) => Some(100),
            Residency::OnDemand
            | Residency::Evicted(_)
            | Residency::Failed { .. }
            | Residency::Unloaded => None,
        };
        let shares: Vec<u64> = self.list.iter().filter_map(share).collect();
        let mean = shares.iter().sum::<u64>().checked_div(shares.len() as u64);
        u8::try_from(mean.unwrap_or(0).min(99)).unwrap_or(99)
    }
}

fn description(model: &Model) -> Option<&Description> {
    model.residency.facts().map(|facts| facts.description.as_ref())
}

fn info(model: &Model) -> ModelInfo {
    let description = description(model);
    let pictures = description.and_then(|description| description.pictures.as_ref());
    let (state, percent, reason) = match &model.residency {
        Residency::OnDemand => (ModelState::OnDemand, None, None),
        Residency::Loading(progress) => (ModelState::Loading, Some(progress.percent()), None),
        Residency::Ready(_) => (ModelState::Ready, None, None),
        Residency::Reserved(_, Reservation::Unload) => {
            (ModelState::Ready, None, Some("finishes its requests, then leaves memory".to_owned()))
        }
        Residency::Reserved(_, Reservation::Profile) => {
            (ModelState::Ready, None, Some("finishes its requests, then is profiled".to_owned()))
        }
        Residency::Evicted(_) => (ModelState::Sleeping, None, None),
        Residency::Failed { error, .. } => {
            let tries = model.failures;
            (ModelState::Failed, None, Some(format!("{error} (tried {tries} times)")))
        }
        Residency::Unloaded => (ModelState::Unloaded, None, None),
    };
    ModelInfo {
        name: model.name.clone(),
        aliases: model.aliases.clone(),
        state,
        percent,
        reason,
        digest: description.map_or_else(String::new, |d| d.digest.clone()),
        family: description.map_or_else(String::new, |d| d.family.to_owned()),
        tasks: pictures.map_or_else(Vec::new, |d| texts(&d.tasks)),
        weight_bytes: description.map_or(0, |d| d.weight_bytes),
        default_width: pictures.map_or(0, |d| d.default_width),
        default_height: pictures.map_or(0, |d| d.default_height),
        size_factor: pictures.map_or(0, |d| d.size_factor),
        max_size: pictures.map_or(0, |d| d.max_size),
        fixed_size: pictures.is_some_and(|d| d.fixed_size),
        defaults: pictures
            .map_or_else(Vec::new, |d| d.defaults.iter().map(task_defaults).collect()),
        default_steps: pictures.map_or(0, |d| d.default_steps),
        max_steps: pictures.map_or(0, |d| d.max_steps),
        default_guidance: pictures.map_or(0.0, |d| d.default_guidance_scale),
        scheduler: pictures.map_or_else(String::new, |d| d.scheduler.clone()),
        max_prompt_tokens: pictures.map_or(0, |d| count(d.max_prompt_tokens)),
        max_prompt_chars: pictures.map_or(0, |d| count(d.max_prompt_chars)),
        sequence_length: pictures
            .and_then(|d| d.sequence_length)
            .map(|length| SequenceLength { default: length.default, max: length.max }),
        max_prompt_chunks: pictures
            .filter(|d| d.max_prompt_tokens > 0)
            .map(|d| d.max_prompt_chunks),
        max_clip_skip: pictures.map(|d| d.max_clip_skip).filter(|&layers| layers > 0),
        fields: pictures.map_or_else(Vec::new, |d| texts(&d.fields)),
        schedulers: pictures.map_or_else(Vec::new, |d| texts(&d.schedulers)),
        classes: pictures.and_then(|d| d.classes),
        lora: pictures.map_or_else(Vec::new, |d| d.lora.clone()),
        controlnets: pictures.map_or_else(Vec::new, |d| d.controlnets.clone()),
        latent_channels: pictures.map_or(0, |d| count(d.latent_channels)),
    }
}

fn task_defaults(defaults: &Defaults) -> TaskDefaults {
    let Defaults { task, num_inference_steps, guidance_scale, strength } = *defaults;
    TaskDefaults { task: task.name().to_owned(), num_inference_steps, guidance_scale, strength }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn texts<T: ToString>(words: &[T]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
