//! What a request asks of a model's ControlNets: a picture for each, how strongly it counts, and in
//! which part of the schedule.

use std::sync::Arc;

use hearth_media::Image;

use super::request::PictureRequest;
use super::rules::Rules;
use super::settings::Settings;

/// The largest scale accepted; the usual ones are 0 to 2.
pub(super) const MAX_SCALE: f64 = 10.0;

/// What steers one picture, ControlNet by ControlNet.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) nets: Vec<Steering>,
    /// The nets see the prompt's copy of the sample alone, their shallow residuals count less.
    pub(super) guess_mode: bool,
    /// A first net that pools does the same.
    pub(super) pooled_guesses: bool,
}

/// What steers it through one ControlNet.
#[derive(Debug)]
pub(super) struct Steering {
    /// The control image: red, green and blue, 0 to 1, [3, rows, columns] of the picture's size.
    pub(super) planes: Vec<f32>,
    scale: f64,
    start: f64,
    end: f64,
}

impl Control {
    /// The request's control images, brought to the picture's size; `None` if there are none.
    pub(super) fn of(request: &PictureRequest, settings: &Settings, rules: &Rules) -> Option<Self> {
        let (family, task) = (rules.family, rules.task(request));
        let scale = (family.conditioning_scale)(task);
        let number = |numbers: &[f64], index: usize, default| {
            numbers.get(index).or(numbers.first()).copied().unwrap_or(default)
        };
        let steering = |(index, image): (usize, &Arc<Image>)| Steering {
            planes: planes(&image.resized(settings.width, settings.height)),
            scale: number(&request.controlnet_conditioning_scale, index, scale),
            start: number(&request.control_guidance_start, index, 0.0),
            end: number(&request.control_guidance_end, index, 1.0),
        };
        let nets: Vec<_> = request.control_image.iter().enumerate().map(steering).collect();
        let guess_mode = request.guess_mode.unwrap_or_default();
        let pooled_guesses = (family.pooled_guesses)(task);
        (!nets.is_empty()).then_some(Self { nets, guess_mode, pooled_guesses })
    }
}

impl Steering {
    /// How strongly it counts at call `index` of `calls`; not at all is 0.
    pub(super) fn scale_at(&self, index: usize, calls: usize) -> f32 {
        let calls = calls as f64;
        let (begins, ends) = (index as f64 / calls, (index + 1) as f64 / calls);
        let counts = begins >= self.start && ends <= self.end;
        if counts { self.scale as f32 } else { 0.0 }
    }
}

/// A picture as planes of values in [0, 1].
fn planes(image: &Image) -> Vec<f32> {
    let channel = |channel| image.rgb.iter().skip(channel).step_by(3);
    (0..3).flat_map(channel).map(|&byte| f32::from(byte) / 255.0).collect()
}
