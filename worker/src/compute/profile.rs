//! ONNX Runtime's own profile of a generation: the model is opened with profiling, and dropped again.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, limits};
use hearth_inference::model::{Error, Model, Turn};
use hearth_inference::session::Interrupt;

use super::opener::Opener;
use super::order::{Profile, Profiles};
use super::plan::RunError;
use super::run_error::run_error;

/// Generates one item with a freshly opened model, and returns what ONNX Runtime says about it.
///
/// The model isn't warmed up first: its first step shows what warming up costs.
pub(super) fn profile(
    opener: &mut Opener,
    profile: &Profile,
    path: &Path,
) -> Result<Profiles, CallError> {
    let folder = opener.scratch();
    let unusable = |error: std::io::Error| {
        let message = "the worker's state folder takes no profiles";
        CallError::new(ErrorKind::Internal, message).caused_by(&error)
    };
    clear(&folder).and_then(|()| std::fs::create_dir_all(&folder)).map_err(unusable)?;
    let outcome = run(opener, profile, path, &folder);
    let files = read(&folder);
    let _ = clear(&folder);
    let (steps, took) = outcome?;
    Ok(Profiles { files: files.map_err(unusable)??, steps, took })
}

fn clear(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn run(
    opener: &mut Opener,
    profile: &Profile,
    path: &Path,
    folder: &Path,
) -> Result<(usize, std::time::Duration), CallError> {
    let runtime = opener.runtime().map_err(|error| CallError::from(&error))?.profiling(folder);
    let opened = opener.open(&runtime, &profile.model, path);
    let mut model = opened.map_err(|error| CallError::from(&error))?;
    let began = Instant::now();
    let steps = generate(model.as_mut(), profile, &profile.interrupt);
    let steps = steps.map_err(|error| match run_error(error) {
        RunError::Interrupted => CallError::new(ErrorKind::Cancelled, "the profile was cancelled"),
        RunError::Failed(error) => error,
    })?;
    // The sessions write their profiles when they go.
    Ok((steps, began.elapsed()))
}

fn generate(
    model: &mut dyn Model,
    profile: &Profile,
    interrupt: &Interrupt,
) -> Result<usize, Error> {
    let generator = model.generator().ok_or(Error::Foreign)?;
    let mut run = generator.start(&profile.prepared, 0, interrupt)?;
    while !run.is_done() {
        let mut turns = [Turn::new(run.as_mut(), interrupt)];
        generator.step(&mut turns);
        let [Turn { outcome, .. }] = turns;
        outcome?;
    }
    let steps = run.steps();
    generator.finish(run, interrupt)?;
    Ok(steps)
}

/// The profiles in `folder`, by their graphs' names.
fn read(folder: &Path) -> std::io::Result<Result<Vec<(String, Bytes)>, CallError>> {
    let mut files = Vec::new();
    let mut left = limits::PAYLOAD;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let size = entry.metadata()?.len();
        let Some(rest) = left.checked_sub(size) else {
            let message =
                format!("the profiles have more than {} bytes: take fewer steps", limits::PAYLOAD);
            return Ok(Err(CallError::new(ErrorKind::TooLarge, message)));
        };
        left = rest;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((graph(&name).to_owned(), Bytes::from(std::fs::read(entry.path())?)));
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Ok(files))
}

/// `unet` of `unet_2026-01-31_12-00-00.json`, whatever follows the day.
fn graph(name: &str) -> &str {
    let is_year = |rest: &str| {
        let (year, rest) = rest.split_at_checked(4).unwrap_or_default();
        rest.starts_with('-') && year.bytes().all(|byte| byte.is_ascii_digit())
    };
    let day = name.match_indices('_').find(|(at, _)| is_year(&name[at + 1..]));
    day.map_or(name, |(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_profile_is_called_as_its_graph() {
        for (name, expected) in [
            ("unet_2026-01-31_12-00-00.json", "unet"),
            ("text_encoder_2_2026-01-31_12-00-00_417.json", "text_encoder_2"),
            ("model.json", "model.json"),
        ] {
            assert_eq!(super::graph(name), expected);
        }
    }
}
