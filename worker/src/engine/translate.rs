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
        prompt_2: request.prompt_2.clone(),
        prompt_3: request.prompt_3.clone(),
        negative_prompt: request.negative_prompt.clone(),
        negative_prompt_2: request.negative_prompt_2.clone(),
        negative_prompt_3: request.negative_prompt_3.clone(),
        width: request.width,
        height: request.height,
        num_inference_steps: request.num_inference_steps,
        timesteps: request.timesteps.clone(),
        sigmas: request.sigmas.clone(),
        guidance_scale: request.guidance_scale.map(single),
        guidance_rescale: request.guidance_rescale.map(single),
        true_cfg_scale: request.true_cfg_scale.map(single),
        scheduler,
        eta: request.eta.map(single),
        original_inference_steps: request.original_inference_steps,
        clip_skip: request.clip_skip,
        max_sequence_length: request.max_sequence_length,
        denoising_end: request.denoising_end.map(single),
        original_size: request.original_size,
        target_size: request.target_size,
        crops_coords_top_left: request.crops_coords_top_left,
        class_labels: request.class_labels,
    })
}

pub(crate) fn invalid(invalid: &Invalid) -> CallError {
    CallError::invalid(invalid.field, invalid.to_string())
}
