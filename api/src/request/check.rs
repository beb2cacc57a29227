//! What of a request can be checked without the model.

use super::{GenerationRequest, lora};
use crate::error::CallError;
use crate::limits;

impl GenerationRequest {
    /// Checks what can be checked without the model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] names the field, the value and the remedy.
    pub fn check(&self) -> Result<(), CallError> {
        for (field, text) in [
            ("prompt", Some(&self.prompt)),
            ("prompt_2", self.prompt_2.as_ref()),
            ("prompt_3", self.prompt_3.as_ref()),
            ("negative_prompt", self.negative_prompt.as_ref()),
            ("negative_prompt_2", self.negative_prompt_2.as_ref()),
            ("negative_prompt_3", self.negative_prompt_3.as_ref()),
        ] {
            let chars = text.map_or(0, |text| text.chars().count());
            if chars > limits::PROMPT_CHARS {
                let max = limits::PROMPT_CHARS;
                let message = format!("{field} has {chars} characters: shorten it to {max}");
                return Err(CallError::invalid(field, message));
            }
        }
        let images = self.images();
        if !(1..=limits::IMAGES).contains(&images) {
            let message =
                format!("num_images is {images}: ask for 1 to {} in one request", limits::IMAGES);
            return Err(CallError::invalid("num_images", message));
        }
        for (field, value) in [
            ("guidance_scale", self.guidance_scale),
            ("guidance_rescale", self.guidance_rescale),
            ("guidance_interval", self.guidance_interval.map(|[from, _]| from)),
            ("guidance_interval", self.guidance_interval.map(|[_, to]| to)),
            ("true_cfg_scale", self.true_cfg_scale),
            ("eta", self.eta),
            ("denoising_start", self.denoising_start),
            ("denoising_end", self.denoising_end),
            ("aesthetic_score", self.aesthetic_score),
            ("negative_aesthetic_score", self.negative_aesthetic_score),
            ("strength", self.strength),
        ] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                let message = format!("{field} is {value}: give a finite number");
                return Err(CallError::invalid(field, message));
            }
        }
        for (field, list) in [("timesteps", &self.timesteps), ("sigmas", &self.sigmas)] {
            let Some(list) = list else { continue };
            if let Some(message) = not_a_schedule(list) {
                return Err(CallError::invalid(field, format!("{field}{message}")));
            }
        }
        for (field, numbers) in [
            ("controlnet_conditioning_scale", &self.controlnet_conditioning_scale),
            ("control_guidance_start", &self.control_guidance_start),
            ("control_guidance_end", &self.control_guidance_end),
        ] {
            let max = limits::CONTROL_IMAGES;
            if numbers.len() > max || !numbers.iter().all(|number| number.is_finite()) {
                let message = format!("{field}: give at most {max} finite numbers");
                return Err(CallError::invalid(field, message));
            }
        }
        if self.control_image.len() > limits::CONTROL_IMAGES {
            let (given, max) = (self.control_image.len(), limits::CONTROL_IMAGES);
            let message = format!("control_image has {given} pictures: give at most {max}");
            return Err(CallError::invalid("control_image", message));
        }
        let whole = self.inputs().iter().map(|(_, input)| input.len()).fold(0, u64::saturating_add);
        if let Some(&(field, _)) = self.inputs().last().filter(|_| whole > limits::PAYLOAD) {
            let max = limits::PAYLOAD;
            let message =
                format!("{field}: the request's files have {whole} bytes, more than {max}");
            return Err(CallError::invalid(field, message));
        }
        for (field, input) in self.inputs() {
            if !(1..=limits::INPUT).contains(&input.len()) {
                let (len, max) = (input.len(), limits::INPUT);
                let message = format!("{field} has {len} bytes: give a file of 1 to {max}");
                return Err(CallError::invalid(field, message));
            }
        }
        lora::check(&self.lora)?;
        if self.preview_every == Some(0) {
            let message = "preview_every is 0: give a number of steps, or leave it out";
            return Err(CallError::invalid("preview_every", message));
        }
        if self.deadline_ms == Some(0) {
            let message = "deadline_ms is 0: give the milliseconds that the request may take";
            return Err(CallError::invalid("deadline_ms", message));
        }
        let (entries, bytes) = limits::METADATA;
        let long = |(key, value): (&String, &String)| key.len() + value.len() > bytes;
        if self.metadata.len() > entries || self.metadata.iter().any(long) {
            let message = format!("metadata holds at most {entries} entries of {bytes} bytes");
            return Err(CallError::invalid("metadata", message));
        }
        Ok(())
    }
}

/// What is wrong with a list of timesteps or noise levels.
fn not_a_schedule(list: &[f64]) -> Option<String> {
    let (length, max) = (list.len(), limits::STEPS);
    if !(1..=max).contains(&length) {
        return Some(format!(" has {length} numbers: give 1 to {max}"));
    }
    if let Some(value) = list.iter().find(|value| !value.is_finite()) {
        return Some(format!(": {value} is none that can be used: give finite numbers"));
    }
    let rise = list.windows(2).find(|pair| pair[0] <= pair[1])?;
    Some(format!(": {} comes after {}: give numbers that fall", rise[1], rise[0]))
}
