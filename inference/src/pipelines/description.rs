//! What a loaded model can do, for callers and for the check of their requests.

use serde::Serialize;

use super::Generation;
use super::defaults::Defaults;
use super::schedule::Schedule;
use super::state::Layout;
use crate::folder::Family;

/// Longest prompt accepted, in characters. Far beyond what a text encoder reads, so that nothing
/// sensible is refused, and short enough that a request stays small.
pub const MAX_PROMPT_CHARS: usize = 10_000;

/// What a loaded model is and what it can be asked for.
///
/// Pure and shared: requests are [checked](Self::check) against it before anything is queued or
/// computed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// Family of pipelines.
    pub family: Family,
    /// What it can be asked to do, in the words of requests.
    pub tasks: Vec<&'static str>,
    /// The fields of a request that it has a use for, beside those that every model has.
    pub fields: Vec<&'static str>,
    /// The device it is loaded on.
    pub device: String,
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
    /// The same where control images steer it; none without ControlNets.
    #[serde(skip)]
    pub(super) control_defaults: Vec<Defaults>,
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
    /// Bytes of graphs and weights on disk.
    pub weight_bytes: u64,
    /// Digest of the folder's contents: equal where pictures are.
    pub digest: String,
    /// The shortest side accepted, in pixels; 0 where that is the factor.
    #[serde(skip)]
    pub(super) smallest: u32,
    /// Pixels of one latent cell's side.
    #[serde(skip)]
    pub(super) cell: u32,
    /// Zeros stand for a negative prompt that isn't given, whatever the others of them say.
    #[serde(skip)]
    pub(super) zeros_without_negative: bool,
    /// How it asks for its schedule.
    #[serde(skip)]
    pub(super) schedule: Schedule,
}

/// How many tokens T5 reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SequenceLength {
    /// If the request says nothing.
    pub default: u32,
    /// At most.
    pub max: u32,
}

impl Description {
    /// The task that a request's fields ask for.
    #[must_use]
    pub fn task(&self, request: &Generation) -> &'static str {
        match (&request.image, &request.mask_image) {
            (Some(_), Some(_)) => "inpainting",
            _ if request.starts_from_picture() => "image-to-image",
            _ if self.max_prompt_tokens == 0 => "general",
            _ => "text-to-image",
        }
    }

    /// What the request takes where it says nothing.
    pub(super) fn task_defaults(&self, request: &Generation) -> Option<&Defaults> {
        let task = self.task(request);
        let all = match request.control_image.is_empty() {
            true => &self.defaults,
            false => &self.control_defaults,
        };
        all.iter().find(|defaults| defaults.task == task).or(all.first())
    }

    /// How its latents lie in memory, for the denoiser.
    pub(super) fn layout(&self) -> Layout {
        match self.family {
            Family::Flux => Layout::Packed,
            _ => Layout::Planes,
        }
    }

    /// Whether `field` of a request means something to this model.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains(&field)
    }
}
