//! Methods that only look.

use serde::{Deserialize, Serialize};

use crate::message::{Load, is_zero};
use crate::record::{Capacity, Suspect, WorkerState};
use hearth_api::{Group, Incarnation, Rank, WorkerId};

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRank {
    /// The worker's name.
    pub worker_id: WorkerId,
    /// Its group.
    pub group: Group,
    /// Its rank; none until the registry has confirmed one.
    pub rank: Option<Rank>,
    /// Its run.
    pub incarnation: Incarnation,
}

/// Whether a worker can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether a request would be taken now.
    pub healthy: bool,
    /// What the worker does.
    pub state: WorkerState,
    /// Why it is not healthy, or what a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the registry has the worker's record, as far as the worker knows.
    pub registered: bool,
    /// How much it has to do; none from a worker of minor 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// The requests that earlier runs were lost to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
    /// The worker's clock when it answered, milliseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
}

/// A worker's counters since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The process id.
    pub pid: u32,
    /// Start of the process, milliseconds since 1970 (UTC), to a clock tick.
    pub started_at_ms: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Processor time used, in milliseconds.
    pub cpu_ms: u64,
    /// Times that a model was loaded.
    pub model_loads: u64,
    /// Bytes of weights read for that.
    pub loaded_bytes: u64,
    /// Denoising steps taken.
    pub steps: u64,
    /// Requests that run.
    pub running: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Requests that ended in a result.
    pub done: u64,
    /// Requests that ended in an error.
    pub failed: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Connections that are open.
    pub connections: u32,
    /// How much the worker takes on.
    pub capacity: Capacity,
}

/// What a worker can be asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    /// The models, in the order of the config.
    pub models: Vec<ModelInfo>,
}

/// One model of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The name that requests use.
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// Whether it is in memory.
    pub state: ModelState,
    /// How much of a model that is being loaded is there, in percent of the bytes to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Why it has failed, or what a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Digest of the folder's content, `sha256:<hex>`.
    pub digest: String,
    /// Pipeline family, as in `stable-diffusion`.
    pub family: String,
    /// What it does, as in `text-to-image`.
    pub tasks: Vec<String>,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// Size of a picture when none is asked for, in pixels.
    pub default_width: u32,
    /// See `default_width`.
    pub default_height: u32,
    /// Width and height must be multiples of this.
    pub size_factor: u32,
    /// Largest width and height.
    pub max_size: u32,
    /// The graphs have their size built in and take no other.
    #[serde(default)]
    pub fixed_size: bool,
    /// What each task takes when nothing is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defaults: Vec<TaskDefaults>,
    /// Denoising steps when none are asked for, of the first task.
    pub default_steps: u32,
    /// Most steps accepted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_steps: u32,
    /// Guidance when none is asked for, of the first task.
    pub default_guidance: f32,
    /// The scheduler's class when none is asked for.
    pub scheduler: String,
    /// Prompt tokens that the text encoder reads; 0 for models without words.
    pub max_prompt_tokens: u32,
    /// Longest prompt accepted, in characters.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_prompt_chars: u32,
    /// Tokens that T5 reads, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_length: Option<SequenceLength>,
    /// Chunks of so many tokens that a prompt may have with `long_prompt`, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prompt_chunks: Option<u32>,
    /// Layers of its text encoders that `clip_skip` can leave out, where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_clip_skip: Option<u32>,
    /// Fields of a request that it has a use for, beside those that every model has.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Short names of the schedulers that fit it.
    #[serde(default)]
    pub schedulers: Vec<String>,
    /// How many classes `class_labels` chooses from, for models that know some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<u32>,
    /// Names of the LoRA adapters that a request's `lora` can take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lora: Vec<String>,
    /// Its ControlNets: a request's control images are for these, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controlnets: Vec<String>,
    /// Channels of the latents.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub latent_channels: u32,
}

/// What one of a model's tasks takes when a request says nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDefaults {
    /// The task, as in `text-to-image`.
    pub task: String,
    /// Denoising steps.
    pub num_inference_steps: u32,
    /// Guidance scale.
    pub guidance_scale: f32,
    /// How much of a picture is made anew, for tasks that begin with one.
    pub strength: Option<f64>,
}

/// How many tokens T5 reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceLength {
    /// When none are asked for.
    pub default: u32,
    /// At most.
    pub max: u32,
}

/// Whether a model is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// Its weights are being read.
    Loading,
    /// It takes requests.
    Ready,
    /// Its folder could not be loaded.
    Failed,
    /// It is read when it is first asked for.
    OnDemand,
    /// Its memory is given back until `wake_up`.
    Sleeping,
    /// It was taken out by `unload_model`; `load_model` brings it back.
    Unloaded,
    /// A state of a newer version.
    #[serde(other)]
    Unknown,
}

impl std::fmt::Display for ModelState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::OnDemand => "on demand",
            Self::Sleeping => "sleeping",
            Self::Unloaded => "unloaded",
            Self::Unknown => "unknown",
        })
    }
}
