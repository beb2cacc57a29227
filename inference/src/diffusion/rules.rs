//! What the requests of a model that makes pictures are checked against.

use hearth_api::request::Task;

use super::family::PictureFamily;
use super::layout::Layout;
use super::request::PictureRequest;
use super::schedule::Schedule;
use super::settings::{Settings, single};
use crate::model::{Defaults, Pictures};

/// Longest prompt accepted, in characters. Far beyond what a text encoder reads, so that nothing
/// sensible is refused, and short enough that a request stays small.
pub(super) const MAX_PROMPT_CHARS: usize = 10_000;

/// What a model's description says of pictures, and what it leaves out.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) family: &'static PictureFamily,
    pub(super) pictures: Pictures,
    /// The defaults of each task where control images steer it; none without ControlNets.
    pub(super) control_defaults: Vec<Defaults>,
    /// The shortest side accepted, in pixels; 0 where that is the factor.
    pub(super) smallest: u32,
    /// Pixels of one latent cell's side.
    pub(super) cell: u32,
    /// How many copies of the sample the denoiser takes at once, where that is built in.
    pub(super) batch: Option<usize>,
    /// The graphs take as many of T5's tokens as the description says, and no other number.
    pub(super) sequence_is_built_in: bool,
    /// Zeros stand for a negative prompt that isn't given, whatever the others of them say.
    pub(super) zeros_without_negative: bool,
    /// How it asks for its schedule.
    pub(super) schedule: Schedule,
    /// A picture of the default size warms it up, and no smaller one.
    pub(super) warms_up_whole: bool,
}

impl Rules {
    /// The task that a request's fields ask for.
    pub(super) fn task(&self, request: &PictureRequest) -> Task {
        request.task_of(self.pictures.max_prompt_tokens > 0)
    }

    /// What the request takes where it says nothing.
    pub(super) fn task_defaults(&self, request: &PictureRequest) -> Option<&Defaults> {
        let task = self.task(request);
        let all = match request.control_image.is_empty() {
            true => &self.pictures.defaults,
            false => &self.control_defaults,
        };
        all.iter().find(|defaults| defaults.task == task).or(all.first())
    }

    /// Whether a request with that guidance scale takes two predictions a step.
    pub(super) fn guides(&self, request: &PictureRequest, guidance_scale: f32) -> bool {
        match self.family.takes_guidance_as_input {
            true => {
                let scale = request.true_cfg_scale.map_or(1.0, single);
                scale > 1.0 && request.negative_prompt.is_some()
            }
            // Models that take the scale themselves know no negative prompt.
            false => guidance_scale > 1.0 && self.has("negative_prompt"),
        }
    }

    /// How its latents lie in memory, for the denoiser.
    pub(super) fn layout(&self) -> Layout {
        self.family.layout
    }

    /// Channels, rows and columns of a picture's latents.
    pub(super) fn latent_shape(&self, settings: &Settings) -> [usize; 3] {
        let [rows, columns] =
            [settings.height, settings.width].map(|side| (side / self.cell) as usize);
        [self.pictures.latent_channels, rows, columns]
    }

    /// What the model can be asked to do, in one line.
    pub(super) fn task_names(&self) -> String {
        let names: Vec<_> = self.pictures.tasks.iter().map(|task| task.name()).collect();
        names.join(", ")
    }

    /// Whether `field` of a request means something to this model.
    pub(super) fn has(&self, field: &str) -> bool {
        self.pictures.fields.contains(&field)
    }
}
