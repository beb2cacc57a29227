//! The models as `list_models` and the registry's record say them.

use hearth_inference::model::Defaults;
use hearth_protocol::methods::{ModelInfo, ModelState, SequenceLength, TaskDefaults};
use hearth_protocol::record::ModelRecord;

use super::{Closing, Hold, Model, Models};

impl Models {
    /// What `list_models` says.
    pub(crate) fn list(&self) -> Vec<ModelInfo> {
        self.read(|models| models.iter().map(info).collect())
    }

    /// How many models are in each state, and the bytes of weights in memory.
    pub(crate) fn figures(&self) -> (Vec<(&'static str, usize)>, u64) {
        let state = |model: &Model| match model.hold {
            Hold::OnDemand => "on_demand",
            Hold::Loading(_) => "loading",
            Hold::Ready(_) | Hold::Closing(..) => "ready",
            Hold::Sleeping(_) => "sleeping",
            Hold::Failed { .. } => "failed",
            Hold::Unloaded => "unloaded",
        };
        let states = ["on_demand", "loading", "ready", "sleeping", "failed", "unloaded"];
        self.read(|models| {
            let of = |wanted| models.iter().filter(move |model| state(model) == wanted);
            let counts = states.map(|wanted| (wanted, of(wanted).count())).to_vec();
            let bytes = of("ready").filter_map(|model| model.hold.description());
            (counts, bytes.map(|known| known.weight_bytes).sum())
        })
    }

    /// What `list_models` says of one.
    pub(crate) fn info(&self, name: &str) -> Option<ModelInfo> {
        self.read(|models| models.iter().find(|model| model.name == name).map(info))
    }

    /// What the registry's record says: those that requests may ask for.
    pub(crate) fn records(&self) -> Vec<ModelRecord> {
        let record = |model: &Model| ModelRecord {
            name: model.name.clone(),
            aliases: model.aliases.clone(),
            digest: model.hold.description().map_or_else(String::new, |d| d.digest.clone()),
        };
        let served = |model: &&Model| {
            !matches!(model.hold, Hold::Unloaded | Hold::Closing(_, Closing::Unload))
        };
        self.read(|models| models.iter().filter(served).map(record).collect())
    }
}

fn info(model: &Model) -> ModelInfo {
    let description = model.hold.description();
    let pictures = description.and_then(|known| known.pictures.as_ref());
    let (state, percent, reason) = match &model.hold {
        Hold::OnDemand => (ModelState::OnDemand, None, None),
        Hold::Loading(progress) => (ModelState::Loading, Some(progress.percent()), None),
        Hold::Ready(_) => (ModelState::Ready, None, None),
        Hold::Closing(_, Closing::Unload) => {
            (ModelState::Ready, None, Some("finishes its requests, then leaves memory".to_owned()))
        }
        Hold::Closing(_, Closing::Profile) => {
            (ModelState::Ready, None, Some("finishes its requests, then is profiled".to_owned()))
        }
        Hold::Sleeping(_) => (ModelState::Sleeping, None, None),
        Hold::Failed { error, .. } => {
            let tries = model.failures;
            (ModelState::Failed, None, Some(format!("{error} (tried {tries} times)")))
        }
        Hold::Unloaded => (ModelState::Unloaded, None, None),
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
