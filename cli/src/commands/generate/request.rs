//! What is asked, from flags and standard input.

use std::io::{IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use hearth_protocol::generation::{GenerationRequest, Input, OutputFormat};
use hearth_protocol::{RequestId, limits};
use uuid::Uuid;

use crate::args::GenerateArgs;
use crate::commands::input;
use crate::exit::Failure;

/// Steps from one preview to the next: each costs a decoding.
const PREVIEW_EVERY: u32 = 5;
/// What a prompt of the longest kind may take in UTF-8, and one byte to see that it is longer.
const PROMPT_BYTES: u64 = 4 * limits::PROMPT_CHARS as u64 + 1;

/// A fresh name for a request.
pub(super) fn draw_id() -> Result<RequestId, Failure> {
    let id = RequestId::new(Uuid::now_v7().to_string());
    Ok(id.map_err(anyhow::Error::from)?)
}

/// The end of the name, for files: what differs between requests of the same minute.
pub(super) fn short(id: &RequestId) -> &str {
    let text = id.as_str();
    text.get(text.len().saturating_sub(8)..).unwrap_or(text)
}

/// The request, checked as far as that goes without the model.
pub(super) fn build(
    args: &GenerateArgs,
    id: &RequestId,
    format: OutputFormat,
) -> Result<GenerationRequest, Failure> {
    one_reader(args)?;
    let request = GenerationRequest {
        id: Some(id.clone()),
        model: args.model.clone(),
        task: args.task,
        prompt: prompt(&args.prompt)?,
        negative_prompt: args.negative_prompt.clone(),
        prompt_weights: args.prompt_weights.then_some(true),
        long_prompt: args.long_prompt.then_some(true),
        clip_skip: args.clip_skip,
        width: args.size.map(|size| size.width),
        height: args.size.map(|size| size.height),
        image: args.image.as_deref().map(|path| picture("--image", path)).transpose()?,
        mask_image: args.mask.as_deref().map(|path| picture("--mask", path)).transpose()?,
        strength: args.strength,
        class_labels: args.class_label,
        lora: args.lora.clone(),
        num_images: Some(args.images),
        num_inference_steps: args.steps,
        guidance_scale: args.guidance,
        seed: args.seed,
        noise_device: args.noise_device,
        scheduler: args.scheduler.clone(),
        output_format: Some(format),
        preview_every: args.preview.then_some(PREVIEW_EVERY),
        ..GenerationRequest::default()
    };
    request.check()?;
    Ok(request)
}

/// A file that goes with the request.
fn picture(flag: &str, path: &Path) -> Result<Input, Failure> {
    Ok(Input::new(input::read(flag, path, limits::INPUT)?))
}

/// Standard input can be read once.
fn one_reader(args: &GenerateArgs) -> Result<(), Failure> {
    let path = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
    let readers = [args.prompt == "-", path(&args.image), path(&args.mask)];
    if readers.into_iter().filter(|reads| *reads).count() > 1 {
        let message = "PROMPT, --image and --mask: one of them at most is -, standard input";
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
    Ok(text.trim().to_owned())
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
