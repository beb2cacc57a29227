//! The runtime, the models and small helpers.

use std::fs;
use std::path::{Path, PathBuf};

use hearth_inference::pipelines::{self, Generation, LoadOptions, Output, Pipeline};
use hearth_inference::session::{self, Interrupt, Runtime, Search};
use hearth_media::Media;

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The ONNX Runtime library under test.
pub(crate) fn library() -> PathBuf {
    let configured = std::env::var("HEARTH_TEST_ORT").unwrap_or_else(|_| "auto".to_owned());
    let root = repository();
    session::find(&Search { configured: &configured, executable: None, directory: Some(&root) })
        .expect("ONNX Runtime in .deps/onnxruntime or HEARTH_TEST_ORT")
}

pub(crate) fn runtime() -> Runtime {
    Runtime::load(&library(), 1).unwrap()
}

pub(crate) fn emoji() -> PathBuf {
    repository().join("models/emoji")
}

pub(crate) fn load(folder: &Path) -> Result<Box<dyn Pipeline>, pipelines::Error> {
    pipelines::load(&runtime(), folder, &LoadOptions::default())
}

/// The failure of loading `folder`, with its causes.
pub(crate) fn refusal(folder: &Path) -> String {
    match load(folder) {
        Ok(_) => panic!("{} was loaded", folder.display()),
        Err(error) => chain(&error),
    }
}

/// An error with its causes, as the command line prints it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A whole generation.
pub(crate) fn generate(
    pipeline: &mut dyn Pipeline,
    request: &Generation,
    seed: u64,
) -> Result<Output, pipelines::Error> {
    let interrupt = Interrupt::new();
    let mut state = pipeline.start(request, seed, &interrupt)?;
    while !state.is_done() {
        pipeline.step(&mut [&mut state], &interrupt)?;
    }
    pipeline.finish(state, &interrupt)
}

/// The requests' pictures, a step of each in turn.
pub(crate) fn generate_in_turn(
    pipeline: &mut dyn Pipeline,
    requests: &[Generation],
    seed: u64,
) -> Vec<Media> {
    let interrupt = Interrupt::new();
    let mut states: Vec<_> =
        requests.iter().map(|request| pipeline.start(request, seed, &interrupt).unwrap()).collect();
    while states.iter().any(|state| !state.is_done()) {
        pipeline.step(&mut states.iter_mut().collect::<Vec<_>>(), &interrupt).unwrap();
    }
    states.into_iter().map(|state| pipeline.finish(state, &interrupt).unwrap().media).collect()
}

pub(crate) fn red_heart(steps: u32) -> Generation {
    Generation {
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(steps),
        guidance_scale: Some(3.0),
        ..Generation::default()
    }
}

/// A copy of `folder` that a test can spoil, without its manifest.
pub(crate) fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(folder, copy.path());
    let manifest = copy.path().join("manifest.json");
    if manifest.exists() {
        fs::remove_file(manifest).unwrap();
    }
    copy
}

/// A copy of the folder `over` with what is in `own` instead of its parts of those names.
pub(crate) fn overlaid(own: &Path, over: &Path) -> tempfile::TempDir {
    let copy = copy_of(over);
    for entry in fs::read_dir(own).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        let target = copy.path().join(name);
        if path.is_file() {
            fs::copy(path, target).unwrap();
            continue;
        }
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        fs::create_dir(&target).unwrap();
        copy_into(&path, &target);
    }
    copy
}

pub(crate) fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy_into(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Lays the files of `from` over those of `to`.
pub(crate) fn copy_over(from: &Path, to: &Path) {
    for part in fs::read_dir(from).unwrap() {
        let part = part.unwrap().path();
        for file in fs::read_dir(&part).unwrap() {
            let file = file.unwrap().path();
            let target = to.join(part.file_name().unwrap()).join(file.file_name().unwrap());
            fs::copy(&file, target).unwrap();
        }
    }
}

/// Cuts the file at `path` to half its length.
pub(crate) fn truncate(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

/// How near two pictures are, in decibels.
pub(crate) fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    if squares == 0.0 {
        return f64::INFINITY;
    }
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares).log10()
}
