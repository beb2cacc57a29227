//! What a loaded model can do, and whether a request fits it.
//!
//! Pure and shared: requests are checked against it before anything is queued or computed.

use serde::Serialize;

use super::{Generation, Invalid, Settings};
use crate::folder::Family;
use crate::schedulers::{self, Run, SchedulerConfig};

/// Longest prompt accepted, in characters. Far beyond what a text encoder reads, so that nothing
/// sensible is refused, and short enough that a request stays small.
pub const MAX_PROMPT_CHARS: usize = 10_000;
/// Guidance scales beyond this are mistakes; the usual ones are 1 to 20.
const MAX_GUIDANCE: f32 = 1000.0;

/// What a loaded model is and what it can be asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// Family of pipelines.
    pub family: Family,
    /// What it can be asked to do, in the words of requests.
    pub tasks: Vec<&'static str>,
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
    /// Number of steps if the request says nothing.
    pub default_steps: u32,
    /// Most steps accepted: those of the training schedule.
    pub max_steps: u32,
    /// Guidance scale if the request says nothing.
    pub default_guidance_scale: f32,
    /// The folder's own scheduler, as a diffusers class.
    pub scheduler: String,
    /// Tokens that the text encoder reads, start and end included; longer prompts are cut, with
    /// a warning.
    pub max_prompt_tokens: usize,
    /// Longest prompt accepted, in characters.
    pub max_prompt_chars: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Bytes of graphs and weights on disk.
    pub weight_bytes: u64,
    /// Digest of the folder's contents: equal where pictures are.
    pub digest: String,
    /// The config that [`scheduler`](Self::scheduler) stands for.
    #[serde(skip)]
    pub(crate) scheduler_config: SchedulerConfig,
}

impl Description {
    /// Checks all of a request, without a session and before any compute.
    ///
    /// # Errors
    /// The first field that can't be used.
    pub fn check(&self, request: &Generation) -> Result<(), Invalid> {
        self.settle(request).map(drop)
    }

    /// Checks all of a request and fills in the defaults.
    ///
    /// # Errors
    /// The first field that can't be used.
    pub fn settle(&self, request: &Generation) -> Result<Settings, Invalid> {
        check_text("prompt", &request.prompt)?;
        if request.prompt.trim().is_empty() {
            return Err(invalid("prompt", &quoted(&request.prompt), "say what to show"));
        }
        check_text("negative_prompt", &request.negative_prompt)?;
        let (width, height) = self.size(request)?;
        let num_inference_steps = self.steps(request)?;
        let guidance_scale = request.guidance_scale.unwrap_or(self.default_guidance_scale);
        if !(0.0..=MAX_GUIDANCE).contains(&guidance_scale) {
            let message = format!("give a number from 0 to {MAX_GUIDANCE}");
            return Err(invalid("guidance_scale", &guidance_scale, message));
        }
        let eta = request.eta.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&eta) {
            return Err(invalid("eta", &eta, "give a number from 0 to 1"));
        }
        if let Some(skip) = request.clip_skip.filter(|&skip| skip > 0) {
            let message = "this model's text encoder gives its last layer only; leave it out";
            return Err(invalid("clip_skip", &skip, message));
        }
        let scheduler = match &request.scheduler {
            Some(spec) => spec.to_string(),
            None => self.scheduler.clone(),
        };
        // Whether a scheduler takes these steps and overrides is known by building it; that is
        // a table of a thousand numbers.
        let run = Run { steps: num_inference_steps as usize, eta, ..Run::default() };
        schedulers::build(&self.scheduler_config, request.scheduler.as_ref(), &run)
            .map_err(|error| invalid("scheduler", &scheduler, error.to_string()))?;
        Ok(Settings {
            prompt: request.prompt.clone(),
            negative_prompt: request.negative_prompt.clone(),
            width,
            height,
            num_inference_steps,
            guidance_scale,
            scheduler,
            eta,
        })
    }

    fn size(&self, request: &Generation) -> Result<(u32, u32), Invalid> {
        let check = |field, value: Option<u32>, default: u32| {
            let (factor, max) = (self.size_factor, self.max_size);
            let size = value.unwrap_or(default);
            if size == 0 || size > max {
                return Err(invalid(field, &size, format!("give {factor} to {max} pixels")));
            }
            if !size.is_multiple_of(factor) {
                let below = (size / factor * factor).max(factor);
                let nearest = if size - below > factor / 2 { below + factor } else { below };
                let nearest = nearest.min(max / factor * factor);
                let message = format!("not a multiple of {factor}; the nearest one is {nearest}");
                return Err(invalid(field, &size, message));
            }
            if self.fixed_size && size != default {
                let message = format!("this export has its size built in; give {default}");
                return Err(invalid(field, &size, message));
            }
            Ok(size)
        };
        Ok((
            check("width", request.width, self.default_width)?,
            check("height", request.height, self.default_height)?,
        ))
    }

    fn steps(&self, request: &Generation) -> Result<u32, Invalid> {
        let steps = request.num_inference_steps.unwrap_or(self.default_steps);
        if (1..=self.max_steps).contains(&steps) {
            return Ok(steps);
        }
        Err(invalid("num_inference_steps", &steps, format!("give 1 to {}", self.max_steps)))
    }
}

fn check_text(field: &'static str, text: &str) -> Result<(), Invalid> {
    // Bytes bound characters from above and cost nothing to count.
    if text.len() > MAX_PROMPT_CHARS {
        let chars = text.chars().count();
        if chars > MAX_PROMPT_CHARS {
            let message = format!("{chars} characters; shorten it to {MAX_PROMPT_CHARS} or fewer");
            return Err(invalid(field, &quoted(text), message));
        }
    }
    Ok(())
}

fn invalid(
    field: &'static str,
    value: &dyn std::fmt::Display,
    message: impl Into<String>,
) -> Invalid {
    Invalid { field, value: value.to_string(), message: message.into() }
}

/// A text as a value in a message: quoted, its middle left out where it is long.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
