//! From the wire's request to the pipelines', and from their refusals back.

use hearth_inference::pipelines::{Generation, Invalid};
use hearth_inference::schedulers::SchedulerSpec;
use hearth_protocol::CallError;
use hearth_protocol::generation::GenerationRequest;

/// The request as a pipeline takes it.
///
/// # Errors
/// A scheduler's text that can't be read.
pub(crate) fn to_generation(request: &GenerationRequest) -> Result<Generation, CallError> {
    let scheduler = request.scheduler.as_deref().map(SchedulerSpec::parse).transpose();
    let scheduler =
        scheduler.map_err(|error| CallError::invalid("scheduler", error.to_string()))?;
    #[expect(clippy::cast_possible_truncation, reason = "pipelines compute in f32")]
    let single = |value: f64| value as f32;
    Ok(Generation {
        prompt: request.prompt.clone(),
        negative_prompt: request.negative_prompt.clone().unwrap_or_default(),
        width: request.width,
        height: request.height,
        num_inference_steps: request.num_inference_steps,
        guidance_scale: request.guidance_scale.map(single),
        scheduler,
        eta: request.eta.map(single),
        clip_skip: request.clip_skip,
    })
}

pub(crate) fn invalid(invalid: &Invalid) -> CallError {
    CallError::invalid(invalid.field, invalid.to_string())
}
