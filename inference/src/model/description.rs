//! What a loaded model is and what it can be asked for, for listings and for people.

use hearth_api::request::Task;
use serde::Serialize;

/// What a loaded model is, and what it can be asked for where it generates something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// Family of models.
    pub family: &'static str,
    /// The device it is loaded on.
    pub device: String,
    /// Bytes of graphs and weights on disk.
    pub weight_bytes: u64,
    /// Digest of the folder's contents: equal where results are.
    pub digest: String,
    /// The names of its graphs.
    #[serde(skip)]
    pub graphs: Vec<String>,
    /// What it can be asked for, if it makes pictures.
    #[serde(flatten)]
    pub pictures: Option<Pictures>,
}

/// What a model that makes pictures can be asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pictures {
    /// What it can be asked to do.
    pub tasks: Vec<Task>,
    /// The fields of a request that it has a use for, beside those that every model has.
    pub fields: Vec<&'static str>,
    /// Pixels in a row if the request says nothing.
    pub default_width: u32,
    /// Rows if the request says nothing.
    pub default_height: u32,
    /// Width and height are multiples of this, the pixels of one latent cell's side.
    pub size_factor: u32,
    /// The longest side accepted, in pixels.
    pub max_size: u32,
    /// The graphs have their default size built in and take no other.
    pub fixed_size: bool,
    /// What each task takes if the request says nothing, in the order of the tasks.
    pub defaults: Vec<Defaults>,
    /// Number of steps if the request says nothing, for the first task.
    pub default_steps: u32,
    /// Most steps accepted: those of the training schedule.
    pub max_steps: u32,
    /// Guidance scale if the request says nothing, for the first task.
    #[serde(rename = "default_guidance")]
    pub default_guidance_scale: f32,
    /// The folder's own scheduler, as a diffusers class.
    pub scheduler: String,
    /// Names of the schedulers that fit the model; see
    /// [`schedulers::table`](crate::schedulers::table).
    pub schedulers: Vec<&'static str>,
    /// Tokens that the text encoder reads, start and end included; longer prompts are cut, with
    /// a warning. None for models without words.
    pub max_prompt_tokens: usize,
    /// Longest prompt accepted, in characters.
    pub max_prompt_chars: usize,
    /// Tokens that T5 reads if the request says nothing, and at most; none without T5.
    pub sequence_length: Option<SequenceLength>,
    /// Chunks of `max_prompt_tokens` that a prompt may have with `long_prompt`; 1 where longer ones
    /// are always cut.
    pub max_prompt_chunks: u32,
    /// Layers that `clip_skip` can leave out.
    pub max_clip_skip: u32,
    /// Number of classes that `class_labels` chooses from; none for models without.
    pub classes: Option<u32>,
    /// The LoRA adapters that its graphs have, by name.
    pub lora: Vec<String>,
    /// Its ControlNets: a request's control images are for these, in this order.
    pub controlnets: Vec<String>,
    /// Channels of the latents.
    pub latent_channels: usize,
}

/// What a task takes where a request says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Defaults {
    /// The task.
    pub task: Task,
    /// Number of steps.
    pub num_inference_steps: u32,
    /// Guidance scale.
    pub guidance_scale: f32,
    /// How much of an image is made anew; none for tasks without one.
    pub strength: Option<f64>,
}

/// How many tokens T5 reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SequenceLength {
    /// If the request says nothing.
    pub default: u32,
    /// At most.
    pub max: u32,
}
