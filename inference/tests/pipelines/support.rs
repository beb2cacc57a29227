//! The runtime, the models and small helpers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hearth_api::GenerationRequest;
use hearth_api::request::{Input, OutputFormat};
use hearth_inference::diffusion::PictureRun;
use hearth_inference::model::{
    Error, Invalid, Model, Output, Pictures, PreparedRequest, Run, Turn,
};
use hearth_inference::progress::Progress;
use hearth_inference::session::{self, Interrupt, Runtime, Search};
use hearth_inference::{LoadOptions, Report};
use hearth_media::{Image, Media};
use serde_json::Value;

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

pub(crate) fn load(folder: &Path) -> Result<Box<dyn Model>, Error> {
    hearth_inference::load(&runtime(), folder, &LoadOptions::default())
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

/// A picture that a model is making.
pub(crate) struct Picture(pub(crate) Box<dyn Run>);

impl Picture {
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_done()
    }

    pub(crate) fn step_index(&self) -> usize {
        self.0.step_index()
    }

    pub(crate) fn steps(&self) -> usize {
        self.0.steps()
    }

    pub(crate) fn run(&self) -> &PictureRun {
        let run: &dyn std::any::Any = self.0.as_ref();
        run.downcast_ref().unwrap()
    }

    pub(crate) fn latents(&self) -> &[f32] {
        self.run().latents()
    }
}

/// Drives a model that makes pictures, each prepared for itself.
pub(crate) trait Drive {
    fn pictures(&self) -> &Pictures;

    fn prepare(&self, request: &GenerationRequest) -> Result<PreparedRequest, Invalid>;

    fn check(&self, request: &GenerationRequest) -> Result<(), Invalid> {
        self.prepare(request).map(drop)
    }

    /// The request with its defaults.
    fn resolve(&self, request: &GenerationRequest) -> Result<Arc<GenerationRequest>, Invalid> {
        self.prepare(request).map(|prepared| Arc::clone(prepared.request()))
    }

    fn start(
        &mut self,
        request: &GenerationRequest,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<Picture, Error>;

    /// A step of each, all under one interrupt; the first failure of one.
    fn step(&mut self, pictures: &mut [&mut Picture], interrupt: &Interrupt) -> Result<(), Error>;

    fn preview(&mut self, picture: &Picture, interrupt: &Interrupt)
    -> Result<Option<Image>, Error>;

    fn finish(&mut self, picture: Picture, interrupt: &Interrupt) -> Result<Output, Error>;
}

impl Drive for dyn Model + '_ {
    fn pictures(&self) -> &Pictures {
        self.description().pictures.as_ref().unwrap()
    }

    fn prepare(&self, request: &GenerationRequest) -> Result<PreparedRequest, Invalid> {
        self.preparer().unwrap().prepare(request)
    }

    fn start(
        &mut self,
        request: &GenerationRequest,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<Picture, Error> {
        let prepared = self.prepare(request)?;
        self.generator().unwrap().start(&prepared, seed, interrupt).map(Picture)
    }

    fn step(&mut self, pictures: &mut [&mut Picture], interrupt: &Interrupt) -> Result<(), Error> {
        let mut turns: Vec<_> =
            pictures.iter_mut().map(|picture| Turn::new(picture.0.as_mut(), interrupt)).collect();
        self.generator().unwrap().step(&mut turns);
        turns.into_iter().try_for_each(|turn| turn.outcome)
    }

    fn preview(
        &mut self,
        picture: &Picture,
        interrupt: &Interrupt,
    ) -> Result<Option<Image>, Error> {
        let media = self.generator().unwrap().preview(picture.0.as_ref(), interrupt)?;
        Ok(media.map(|media| match media {
            Media::Image(image) => image,
            other => panic!("{other:?}"),
        }))
    }

    fn finish(&mut self, picture: Picture, interrupt: &Interrupt) -> Result<Output, Error> {
        self.generator().unwrap().finish(picture.0, interrupt)
    }
}

/// A picture as a request brings it along.
pub(crate) fn png(image: &Image) -> Input {
    let image = Media::Image(image.clone());
    Input::new(hearth_media::encode(&image, OutputFormat::Png, &[]).unwrap())
}

/// Numbers as a request brings them along: a `NumPy` file, or without a shape plain ones.
pub(crate) fn numbers(shape: &[usize], values: &[f32]) -> Input {
    let plain: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    match shape {
        [] => Input::new(plain),
        shape => Input::new(hearth_media::npy::encode_raw("<f4", shape, &plain).unwrap()),
    }
}

/// A whole generation.
pub(crate) fn generate(
    pipeline: &mut dyn Model,
    request: &GenerationRequest,
    seed: u64,
) -> Result<Output, Error> {
    let interrupt = Interrupt::new();
    let mut state = pipeline.start(request, seed, &interrupt)?;
    while !state.is_done() {
        pipeline.step(&mut [&mut state], &interrupt)?;
    }
    pipeline.finish(state, &interrupt)
}

/// The requests' pictures, a step of each in turn.
pub(crate) fn generate_in_turn(
    pipeline: &mut dyn Model,
    requests: &[GenerationRequest],
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

pub(crate) fn red_heart(steps: u32) -> GenerationRequest {
    GenerationRequest {
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(steps),
        guidance_scale: Some(3.0),
        ..GenerationRequest::default()
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

/// Sets a key of a JSON file.
pub(crate) fn edit(path: &Path, key: &str, value: impl Into<Value>) {
    let mut json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    json[key] = value.into();
    fs::write(path, json.to_string()).unwrap();
}

/// An image of stripes, whose halves differ.
pub(crate) fn striped() -> Input {
    let rgb = (0..32 * 32 * 3_u32).map(|at| (at / 48 * 7) as u8).collect();
    png(&Image { width: 32, height: 32, rgb })
}

pub(crate) fn look(folder: &Path) -> Report {
    hearth_inference::inspect(folder, &LoadOptions::default(), &Progress::default())
}
