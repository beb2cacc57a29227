//! Fields that don't go together: what contradicts is refused, what has no effect is warned of.

use crate::diffusion::request::PictureRequest;
use crate::diffusion::rules::Rules;
use crate::diffusion::settings::Settings;
use crate::model::Invalid;

/// The schedulers that η means something to.
const WITH_ETA: [&str; 2] = ["DDIMScheduler", "TCDScheduler"];

/// Noise levels beyond this are mistakes: the noisiest schedules begin at some thousands.
const MAX_SIGMA: f64 = 100_000.0;

impl Rules {
    /// Refuses fields that contradict each other, as diffusers does.
    pub(super) fn check_combinations(&self, request: &PictureRequest) -> Result<(), Invalid> {
        if request.timesteps.is_some() && request.sigmas.is_some() {
            let message = "sigmas are given too; give one of them";
            return Err(Invalid::new("timesteps", &"given", message));
        }
        let last = f64::from(self.schedule.config.num_train_timesteps());
        for (field, list, most) in
            [("timesteps", &request.timesteps, last), ("sigmas", &request.sigmas, MAX_SIGMA)]
        {
            let range = 0.0..=most;
            let wrong = list.iter().flatten().find(|value| !range.contains(value));
            if let Some(value) = wrong {
                return Err(Invalid::new(field, value, format!("give numbers from 0 to {most}")));
            }
        }
        Ok(())
    }

    /// What is given and changes nothing beside what else is given, or fits the model badly, each as
    /// a warning. diffusers says nothing of it.
    pub(in crate::diffusion) fn without_effect(
        &self,
        request: &PictureRequest,
        settings: &Settings,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |field: &str, remedy: &str| {
            warnings.push(format!("{field} has no effect: {remedy}"));
        };
        let by_input = self.family.takes_guidance_as_input;
        let true_guidance = request.true_cfg_scale.is_some_and(|scale| scale > 1.0);
        let guided = match by_input {
            true => true_guidance && request.negative_prompt.is_some(),
            false => settings.guidance_scale > 1.0,
        };
        let lone = request.negative_prompt.is_none()
            && match by_input {
                true => true_guidance,
                false => guided && self.zeros_without_negative,
            };
        if by_input && true_guidance && !guided {
            warn("true_cfg_scale", "it is for a negative_prompt, and there is none");
        } else if !guided {
            let scale = if by_input { "true_cfg_scale" } else { "guidance_scale" };
            for (field, value) in request.given() {
                let negative = field.starts_with("negative_") && value != "\"\"";
                let rescale = request.guidance_rescale.is_some_and(|share| share > 0.0);
                if negative
                    || field == "guidance_interval"
                    || (field == "guidance_rescale" && rescale)
                {
                    warn(field, &format!("it takes a {scale} above 1"));
                }
            }
        }
        if lone && request.negative_prompt_2.as_deref().is_some_and(|text| !text.is_empty()) {
            warn("negative_prompt_2", "it goes with a negative_prompt, and there is none");
        }
        if !self.has("guidance_scale") && request.guidance_scale.is_some_and(|scale| scale > 1.0) {
            warn("guidance_scale", "this model is distilled to do without");
        }
        let doubt = self.schedule.doubt(settings);
        let class = self.schedule.class(settings);
        let crop = request.negative_crops_coords_top_left.or(request.crops_coords_top_left);
        if request.starts_from_picture()
            && !self.has("aesthetic_score")
            && crop != request.crops_coords_top_left
        {
            warn("negative_crops_coords_top_left", "a picture's is that of the prompt");
        }
        if settings.eta > 0.0 && !WITH_ETA.contains(&class) {
            warn("eta", &format!("{class} has none; ddim and tcd do"));
        }
        if request.strength.is_some() && request.denoising_start.is_some() {
            warn("strength", "denoising_start says where to begin");
        }
        let listed = request.timesteps.as_ref().or(request.sigmas.as_ref()).map(Vec::len);
        let agrees = |steps: u32| {
            steps == settings.num_inference_steps || listed == usize::try_from(steps).ok()
        };
        if request.num_inference_steps.is_some_and(|steps| !agrees(steps)) {
            let list = if request.timesteps.is_some() { "timesteps" } else { "sigmas" };
            warn("num_inference_steps", &format!("{list} says which steps to take"));
        }
        for (field, asked, made) in
            [("width", request.width, settings.width), ("height", request.height, settings.height)]
        {
            if let Some(asked) = asked.filter(|asked| *asked != made) {
                let factor = self.pictures.size_factor;
                warnings.push(format!("{field} {asked} is no multiple of {factor}: {made} it is"));
            }
        }
        warnings.extend(doubt);
        warnings
    }
}
