//! The request, from flags and standard input.

use std::io::{IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use hearth_api::request::{GenerationRequest, Input};
use hearth_api::{RequestId, limits};
use uuid::Uuid;

use super::fields::RequestInput;
use crate::args::{GenerateArgs, Numbers, Size};
use crate::commands::input;
use crate::exit::Failure;

/// Steps from one preview to the next: each costs a decoding.
const PREVIEW_EVERY: u32 = 5;
/// The longest prompt in UTF-8, and one byte more to notice a longer one.
const PROMPT_BYTES: u64 = 4 * limits::PROMPT_CHARS as u64 + 1;

/// A fresh name for a request.
pub(super) fn draw_id() -> Result<RequestId, Failure> {
    let id = RequestId::new(Uuid::now_v7().to_string());
    Ok(id.map_err(anyhow::Error::from)?)
}

/// The end of the name, for files: the part that differs between requests of the same minute.
pub(super) fn short(id: &RequestId) -> &str {
    let text = id.as_str();
    text.get(text.len().saturating_sub(8)..).unwrap_or(text)
}

/// The request, checked as far as possible without the model. The caller decides its id and its
/// output's format.
pub(super) fn build(args: &GenerateArgs) -> Result<GenerationRequest, Failure> {
    one_reader(args)?;
    let (details, given) = (&args.details, RequestInput::read(&args.details)?);
    let of = &given.request;
    let rows_first = |size: Size| [size.height, size.width];
    let list = |numbers: &Option<Numbers>| numbers.as_ref().map(|numbers| numbers.0.clone());
    let request = GenerationRequest {
        model: args.model.clone().or_else(|| of.model.clone()),
        task: args.task.or(of.task),
        prompt: match &args.prompt {
            Some(text) => prompt(text)?,
            None => of.prompt.clone(),
        },
        prompt_2: text(&details.prompt_2, &of.prompt_2),
        prompt_3: text(&details.prompt_3, &of.prompt_3),
        negative_prompt: text(&args.negative_prompt, &of.negative_prompt),
        negative_prompt_2: text(&details.negative_prompt_2, &of.negative_prompt_2),
        negative_prompt_3: text(&details.negative_prompt_3, &of.negative_prompt_3),
        width: args.size.map(|size| size.width).or(of.width),
        height: args.size.map(|size| size.height).or(of.height),
        image: file("--image", &args.image, &of.image)?,
        mask_image: file("--mask", &args.mask, &of.mask_image)?,
        latents: file("--latents", &details.latents, &of.latents)?,
        strength: args.strength.or(of.strength),
        control_image: control_images(&args.control_image, &of.control_image)?,
        controlnet_conditioning_scale: several(
            &args.control_scale,
            &of.controlnet_conditioning_scale,
        ),
        control_guidance_start: several(&args.control_start, &of.control_guidance_start),
        control_guidance_end: several(&args.control_end, &of.control_guidance_end),
        guess_mode: args.guess_mode.then_some(true).or(of.guess_mode),
        class_labels: args.class_label.or(of.class_labels),
        lora: if args.lora.is_empty() { of.lora.clone() } else { args.lora.clone() },
        prompt_weights: args.prompt_weights.then_some(true).or(of.prompt_weights),
        long_prompt: args.long_prompt.then_some(true).or(of.long_prompt),
        clip_skip: args.clip_skip.or(of.clip_skip),
        num_images: args.images.or(of.num_images),
        num_inference_steps: args.steps.or(of.num_inference_steps),
        timesteps: list(&details.timesteps).or_else(|| of.timesteps.clone()),
        sigmas: list(&details.sigmas).or_else(|| of.sigmas.clone()),
        guidance_scale: args.guidance.or(of.guidance_scale),
        guidance_rescale: details.guidance_rescale.or(of.guidance_rescale),
        guidance_interval: details.guidance_interval.or(of.guidance_interval),
        true_cfg_scale: details.true_cfg.or(of.true_cfg_scale),
        eta: details.eta.or(of.eta),
        original_inference_steps: details.original_steps.or(of.original_inference_steps),
        max_sequence_length: details.max_sequence_length.or(of.max_sequence_length),
        denoising_start: details.denoising_start.or(of.denoising_start),
        denoising_end: details.denoising_end.or(of.denoising_end),
        original_size: details.original_size.map(rows_first).or(of.original_size),
        target_size: details.target_size.map(rows_first).or(of.target_size),
        crops_coords_top_left: details.crop.or(of.crops_coords_top_left),
        negative_original_size: details
            .negative_original_size
            .map(rows_first)
            .or(of.negative_original_size),
        negative_target_size: details
            .negative_target_size
            .map(rows_first)
            .or(of.negative_target_size),
        negative_crops_coords_top_left: details.negative_crop.or(of.negative_crops_coords_top_left),
        aesthetic_score: details.aesthetic_score.or(of.aesthetic_score),
        negative_aesthetic_score: details.negative_aesthetic_score.or(of.negative_aesthetic_score),
        seed: args.seed.or(of.seed),
        noise_device: args.noise_device.or(of.noise_device),
        scheduler: scheduler(args, of.scheduler.as_deref())?,
        output_format: args.format.or(of.output_format),
        preview_every: args.preview.then_some(PREVIEW_EVERY).or(of.preview_every),
        ..given.request.clone()
    };
    for warning in given.other_files(&request)? {
        crate::output::say(format_args!("warning: {warning}"));
    }
    if request.image.is_none() {
        for (flag, given) in
            [("--strength", request.strength.is_some()), ("--mask", request.mask_image.is_some())]
        {
            if given {
                let message = format!("{flag}: there is no image to change; give --image FILE");
                return Err(Failure::usage(message));
            }
        }
    }
    request.check()?;
    Ok(request)
}

fn text(flag: &Option<String>, given: &Option<String>) -> Option<String> {
    flag.clone().or_else(|| given.clone())
}

/// The scheduler, with the options that are given separately.
fn scheduler(args: &GenerateArgs, given: Option<&str>) -> Result<Option<String>, Failure> {
    let name = args.scheduler.as_deref().or(given);
    let options = &args.details.scheduler_option;
    let Some(name) = name else {
        return match options.first() {
            None => Ok(None),
            Some((key, value)) => Err(Failure::usage(format!(
                "--scheduler-option {key}={value}: say of which scheduler, by --scheduler NAME"
            ))),
        };
    };
    let options: Vec<_> = options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(Some(match (options.is_empty(), name.contains(':')) {
        (true, _) => name.to_owned(),
        (false, true) => format!("{name},{}", options.join(",")),
        (false, false) => format!("{name}:{}", options.join(",")),
    }))
}

/// The file that a flag names, or the one given otherwise.
fn file(
    flag: &str,
    path: &Option<PathBuf>,
    given: &Option<Input>,
) -> Result<Option<Input>, Failure> {
    match path {
        Some(path) => Ok(Some(Input::new(input::read(flag, path, limits::INPUT)?))),
        None => Ok(given.clone()),
    }
}

/// The control images of the flags, or those given otherwise.
fn control_images(paths: &[PathBuf], given: &[Input]) -> Result<Vec<Input>, Failure> {
    let max = limits::CONTROL_IMAGES;
    if paths.is_empty() {
        return Ok(given.to_vec());
    }
    if paths.len() > max {
        let message = format!("--control-image is given {} times: give {max} at most", paths.len());
        return Err(Failure::usage(message));
    }
    let read = |path: &PathBuf| input::read("--control-image", path, limits::INPUT);
    paths.iter().map(|path| read(path).map(Input::new)).collect()
}

fn several(flags: &[f64], given: &[f64]) -> Vec<f64> {
    if flags.is_empty() { given.to_vec() } else { flags.to_vec() }
}

/// Standard input can be read once.
fn one_reader(args: &GenerateArgs) -> Result<(), Failure> {
    let details = &args.details;
    let files = [&args.image, &args.mask, &details.latents, &details.request];
    let files = files.into_iter().flatten().chain(&args.control_image);
    let readers = files.filter(|path| path.as_path() == Path::new("-")).count();
    if readers + usize::from(args.prompt.as_deref() == Some("-")) > 1 {
        let message = "PROMPT, --image, --mask, --control-image, --latents and --request: one of \
                       them at most is -, \
                       standard input";
        return Err(Failure::usage(message));
    }
    Ok(())
}

fn prompt(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let input = std::io::stdin();
    if input.is_terminal() {
        crate::output::say("reading the prompt from the terminal; Ctrl-D ends it");
    }
    let read = input.lock().take(PROMPT_BYTES).read_to_string(&mut text);
    read.map_err(|error| {
        Failure::usage("the prompt can't be read from standard input").caused_by(Some(&error))
    })?;
    // Windows' editors put a byte order mark before a text.
    Ok(text.trim_start_matches('\u{feff}').trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_name_is_the_drawn_part() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(short(&id), "099a8057");
        assert_eq!(short(&"abc".parse().unwrap()), "abc");
    }
}
