//! Whether a request's control images and their numbers fit a model's ControlNets.

use crate::diffusion::control::MAX_SCALE;
use crate::diffusion::family::PictureFamily;
use crate::diffusion::request::PictureRequest;
use crate::diffusion::rules::Rules;
use crate::model::Invalid;

/// What is said where there is no ControlNet.
pub(super) fn none(family: &PictureFamily) -> String {
    match family.takes_controlnets {
        true => {
            "this model has no ControlNet; load a folder with a controlnet/ in it, or leave it \
                 out"
            .to_owned()
        }
        false => format!(
            "{} models take no ControlNets here (Stable Diffusion 1.x, 2.x and XL do); leave \
             it out",
            family.family.name
        ),
    }
}

impl Rules {
    /// Checks them; whether there is any ControlNet is known already.
    pub(super) fn check_control(&self, request: &PictureRequest) -> Result<(), Invalid> {
        let (images, nets) = (request.control_image.len(), self.pictures.controlnets.len());
        let (scales, starts, ends) = (
            &request.controlnet_conditioning_scale,
            &request.control_guidance_start,
            &request.control_guidance_end,
        );
        let lists = [
            ("controlnet_conditioning_scale", scales, MAX_SCALE),
            ("control_guidance_start", starts, 1.0),
            ("control_guidance_end", ends, 1.0),
        ];
        let lists = lists.into_iter().filter(|(_, list, _)| !list.is_empty());
        if images == 0 {
            let lists = lists.map(|(field, list, _)| (field, format!("{list:?}")));
            let guess =
                request.guess_mode.unwrap_or_default().then(|| ("guess_mode", "true".to_owned()));
            return lists.chain(guess).next().map_or(Ok(()), |(field, value)| {
                let message = "there is no control_image; give one, or leave it out";
                Err(Invalid::new(field, &value, message))
            });
        }
        if images != nets {
            let given = format!("of {images}");
            let names = self.pictures.controlnets.join(", ");
            let message = format!("give {nets}, one for each ControlNet in this order: {names}");
            return Err(Invalid::new("control_image", &given, message));
        }
        for (field, list, max) in lists {
            let value = format!("{list:?}");
            if list.len() != 1 && list.len() != nets {
                let message = match nets {
                    1 => "give one number".to_owned(),
                    nets => format!("give one number, or {nets}: one for each ControlNet"),
                };
                return Err(Invalid::new(field, &value, message));
            }
            if !list.iter().all(|number| (0.0..=max).contains(number)) {
                let message = format!("give numbers from 0 to {max}");
                return Err(Invalid::new(field, &value, message));
            }
        }
        for index in 0..nets {
            let number = |list: &[f64], default| {
                list.get(index).or(list.first()).copied().unwrap_or(default)
            };
            let (start, end) = (number(starts, 0.0), number(ends, 1.0));
            if start >= end {
                let message = format!("it must be below control_guidance_end, which is {end}");
                return Err(Invalid::new("control_guidance_start", &start, message));
            }
        }
        Ok(())
    }
}
