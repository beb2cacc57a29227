//! From the wire's request to the pipelines', and from their refusals back.

use std::sync::Arc;

use hearth_api::CallError;
use hearth_api::request::{GenerationRequest, Input, NoiseDevice, OutputFormat};
use hearth_inference::noise::Device;
use hearth_inference::pipelines::{
    Generation, Invalid, Latents, Lora, OutputType, UnreadableLatents,
};
use hearth_inference::schedulers::SchedulerSpec;
use hearth_media::{Image, npy};

/// Most bytes of a request's control images once they are decoded.
const CONTROL_BYTES: usize = 192 << 20;

/// The request as a pipeline takes it.
///
/// # Errors
/// A scheduler's text, a picture or latents that can't be read, and a format for another kind of
/// result.
pub(crate) fn to_generation(request: &GenerationRequest) -> Result<Generation, CallError> {
    let scheduler = request.scheduler.as_deref().map(SchedulerSpec::parse).transpose();
    let scheduler =
        scheduler.map_err(|error| CallError::invalid("scheduler", error.to_string()))?;
    let adapter = |lora: &hearth_api::request::Lora| Lora {
        name: lora.name.clone(),
        scale: single(lora.scale),
    };
    let (image, image_latents) = match &request.image {
        Some(input) if npy::is(bytes("image", input)?) => (None, Some(latents("image", input)?)),
        image => (picture("image", image.as_ref())?, None),
    };
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
        long_prompt: request.long_prompt.unwrap_or_default(),
        prompt_weights: request.prompt_weights.unwrap_or_default(),
        max_sequence_length: request.max_sequence_length,
        denoising_start: request.denoising_start,
        denoising_end: request.denoising_end,
        image,
        image_latents,
        mask_image: picture("mask_image", request.mask_image.as_ref())?,
        strength: request.strength,
        control_image: control_images(&request.control_image)?,
        controlnet_conditioning_scale: request.controlnet_conditioning_scale.clone(),
        control_guidance_start: request.control_guidance_start.clone(),
        control_guidance_end: request.control_guidance_end.clone(),
        guess_mode: request.guess_mode.unwrap_or(false),
        latents: request.latents.as_ref().map(|input| latents("latents", input)).transpose()?,
        output_type: output_type(request.output_format)?,
        aesthetic_score: request.aesthetic_score.map(single),
        negative_aesthetic_score: request.negative_aesthetic_score.map(single),
        original_size: request.original_size,
        target_size: request.target_size,
        crops_coords_top_left: request.crops_coords_top_left,
        negative_original_size: request.negative_original_size,
        negative_target_size: request.negative_target_size,
        negative_crops_coords_top_left: request.negative_crops_coords_top_left,
        class_labels: request.class_labels,
        lora: request.lora.iter().map(adapter).collect(),
        noise_device: match request.noise_device {
            None | Some(NoiseDevice::Cpu) => Device::Cpu,
            Some(NoiseDevice::Cuda) => Device::Cuda,
        },
    })
}

#[expect(clippy::cast_possible_truncation, reason = "pipelines compute in f32")]
fn single(value: f64) -> f32 {
    value as f32
}

/// Decodes a picture of the request; the one at its file's start decides what it is.
fn picture(field: &str, input: Option<&Input>) -> Result<Option<Arc<Image>>, CallError> {
    input.map(|input| decoded(field, input)).transpose()
}

/// Decodes the pictures of the list; how much memory all of them take is bounded as one's is.
fn control_images(inputs: &[Input]) -> Result<Vec<Arc<Image>>, CallError> {
    const FIELD: &str = "control_image";
    let (mut images, mut bytes) = (Vec::with_capacity(inputs.len()), 0);
    for input in inputs {
        let image = decoded(FIELD, input)?;
        bytes += image.rgb.len();
        if bytes > CONTROL_BYTES {
            let message = format!(
                "{FIELD}: the pictures have more than {} million pixels together; make them \
                 smaller",
                CONTROL_BYTES / 3 / 1_000_000
            );
            return Err(CallError::invalid(FIELD, message));
        }
        images.push(image);
    }
    Ok(images)
}

fn decoded(field: &str, input: &Input) -> Result<Arc<Image>, CallError> {
    let bytes = bytes(field, input)?;
    let refused =
        |error: hearth_media::Error| CallError::invalid(field, format!("{field}: {error}"));
    hearth_media::decode(bytes).map(Arc::new).map_err(refused)
}

/// What is to come of the request: numbers are the latents, before they are decoded.
fn output_type(format: Option<OutputFormat>) -> Result<OutputType, CallError> {
    match format {
        Some(format @ (OutputFormat::Wav | OutputFormat::Flac)) => {
            let shown = format.extension();
            let message = format!("output_format {shown}: pictures come as png, jpeg, webp or npy");
            Err(CallError::invalid("output_format", message))
        }
        Some(OutputFormat::Npy) => Ok(OutputType::Latent),
        _ => Ok(OutputType::Image),
    }
}

fn latents(field: &str, input: &Input) -> Result<Arc<Latents>, CallError> {
    let refused = |error: UnreadableLatents| CallError::invalid(field, format!("{field}: {error}"));
    Latents::read(bytes(field, input)?).map(Arc::new).map_err(refused)
}

fn bytes<'a>(field: &str, input: &'a Input) -> Result<&'a [u8], CallError> {
    input.bytes().map(AsRef::as_ref).ok_or_else(|| {
        CallError::invalid(field, format!("{field}: its bytes didn't come with the request"))
    })
}

pub(crate) fn invalid(invalid: &Invalid) -> CallError {
    CallError::invalid(invalid.field, invalid.to_string())
}
