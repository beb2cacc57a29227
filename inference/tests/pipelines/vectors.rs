//! The same picture as diffusers: every case of `tests/vectors/pipelines`, step by step.

use std::fs;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use hearth_api::GenerationRequest;
use hearth_api::request::Input;
use hearth_inference::model::{self, Model};
use hearth_inference::session::Interrupt;
use hearth_media::{Image, Media};
use serde::Deserialize;

use super::support::{self, Drive as _};

/// Latents may differ from diffusers' by this share of their largest value (of 1, if smaller).
pub(crate) const LATENTS: f32 = 5e-4;
/// The same for a weighted prompt. Weighting multiplies the embeddings by the ratio of two means,
/// which for `(red:1.5) [heart]` on the demo model are 5.2e-6 and 5.7e-5 where the values are 0.47 on
/// average. Rounding in the text encoder, which differs between processors, is amplified ten thousand
/// times: one is 5.03e-4 away.
const WEIGHTED_LATENTS: f32 = 2e-3;
/// Pictures must be at least this near, in decibels.
pub(crate) const PSNR: f64 = 60.0;
/// Vectors of two schedulers nearer to each other than this are the same: DDIM without noise and
/// Euler are one rule written in two ways.
const SAME: f32 = 1e-4;

#[derive(Deserialize)]
struct File {
    scheduler: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    request: Request,
    timesteps: Vec<f32>,
    images: Vec<Array>,
    latents: Array,
    step_latents: Option<Array>,
}

#[derive(Deserialize, PartialEq)]
struct Request {
    prompt: String,
    #[serde(default)]
    negative_prompt: Option<String>,
    seed: u64,
    num_inference_steps: u32,
    guidance_scale: f64,
    #[serde(default)]
    num_images: Option<u64>,
    eta: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
    #[serde(default)]
    long_prompt: bool,
    #[serde(default)]
    prompt_weights: bool,
}

#[derive(Deserialize)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    zlib_base64: String,
}

impl Array {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let packed = base64::engine::general_purpose::STANDARD.decode(&self.zlib_base64).unwrap();
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Bytes of one or three channels as a picture.
    pub(crate) fn picture(&self) -> Input {
        let bytes = self.bytes();
        let rgb = match self.shape.len() {
            2 => bytes.iter().flat_map(|grey| [*grey; 3]).collect(),
            _ => bytes,
        };
        support::png(&Image::new(self.shape[1] as u32, self.shape[0] as u32, rgb).unwrap())
    }

    pub(crate) fn f32(&self) -> Vec<f32> {
        let bytes = self.bytes();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }
}

impl Request {
    /// With the scheduler named, or else with the folder's own.
    fn generation(&self, scheduler: Option<&str>) -> GenerationRequest {
        GenerationRequest {
            prompt: self.prompt.clone(),
            negative_prompt: self.negative_prompt.clone(),
            width: self.width,
            height: self.height,
            num_inference_steps: Some(self.num_inference_steps),
            guidance_scale: Some(self.guidance_scale),
            scheduler: scheduler.map(str::to_owned),
            eta: self.eta,
            long_prompt: Some(self.long_prompt),
            prompt_weights: Some(self.prompt_weights),
            ..GenerationRequest::default()
        }
    }
}

fn files(model: &str) -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/pipelines").join(model);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 6, "vectors are missing");
    paths
        .iter()
        .map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
        .collect()
}

#[test]
fn emoji_pictures_equal_diffusers() {
    check_model("emoji", &support::emoji());
}

#[test]
fn a_folder_of_other_widths_and_channels_equals_diffusers() {
    check_model("tiny-sd", &support::repository().join("tests/models/tiny-sd"));
}

fn check_model(name: &str, folder: &Path) {
    let mut pipeline = support::load(folder).unwrap();
    let files = files(name);
    let mut checked = 0;
    for file in &files {
        for case in &file.cases {
            let latents = check_case(pipeline.as_mut(), Some(&file.scheduler), case);
            check_nearest(&files, file, case, &latents);
            checked += 1;
        }
    }
    assert!(checked >= 15, "{checked} cases");
}

/// Stable Diffusion 1.5's own file. Over it and over tiny-sd's the same schedule stands, so their
/// pictures with PNDM are the same.
const STOCK: &str = r#"{"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0",
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "num_train_timesteps": 1000, "set_alpha_to_one": false, "skip_prk_steps": true,
    "steps_offset": 1, "trained_betas": null, "clip_sample": false}"#;

#[test]
fn a_stock_folder_draws_with_its_own_pndm() {
    let model = support::copy_of(&support::repository().join("tests/models/tiny-sd"));
    let config = model.path().join("scheduler/scheduler_config.json");
    fs::write(&config, STOCK).unwrap();
    let index = model.path().join("model_index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("DDIMScheduler", "PNDMScheduler")).unwrap();
    let mut pipeline = support::load(model.path()).unwrap();
    assert_eq!(pipeline.pictures().scheduler, "PNDMScheduler");
    model::warm_up(pipeline.as_mut(), &Interrupt::new()).unwrap();
    let files = files("tiny-sd");
    let file = files.iter().find(|file| file.scheduler == "pndm").unwrap();
    for case in &file.cases {
        check_case(pipeline.as_mut(), None, case);
    }

    fs::write(&config, STOCK.replace("\"skip_prk_steps\": true", "\"skip_prk_steps\": false"))
        .unwrap();
    let mut pipeline = support::load(model.path()).unwrap();
    model::warm_up(pipeline.as_mut(), &Interrupt::new()).unwrap();
    let state = pipeline.start(&support::red_heart(4), 1, &Interrupt::new()).unwrap();
    assert_eq!(state.steps(), 13, "three steps of four calls, one of one");
    let refused = pipeline.check(&support::red_heart(3)).unwrap_err().to_string();
    assert!(refused.contains("set skip_prk_steps to true"), "{refused}");
}

/// Makes the case's pictures and compares them; returns their latents.
fn check_case(pipeline: &mut dyn Model, scheduler: Option<&str>, case: &Case) -> Vec<f32> {
    let name = format!("{} {:?}", scheduler.unwrap_or("the folder's"), case.request.prompt);
    let interrupt = Interrupt::new();
    let request = case.request.generation(scheduler);
    let expected = case.latents.f32();
    let per_step = case.step_latents.as_ref().map(Array::f32);
    let images = case.request.num_images.unwrap_or(1);
    let bound = if request.prompt_weights == Some(true) { WEIGHTED_LATENTS } else { LATENTS };
    let mut all = Vec::new();
    for image in 0..images {
        let seed = case.request.seed + image;
        let mut state = pipeline.start(&request, seed, &interrupt).unwrap();
        assert_eq!(state.steps(), case.timesteps.len(), "{name}");
        while !state.is_done() {
            pipeline.step(&mut [&mut state], &interrupt).unwrap();
            if let Some(per_step) = &per_step {
                let length = state.latents().len();
                let wanted = &per_step[(state.step_index() - 1) * length..][..length];
                let worst = difference(state.latents(), wanted);
                assert!(worst < bound, "{name}, step {}: {worst}", state.step_index());
            }
        }
        let length = state.latents().len();
        assert_eq!(state.run().latent_shape(), case.latents.shape[1..], "{name}");
        let wanted = &expected[image as usize * length..][..length];
        let worst = difference(state.latents(), wanted);
        assert!(worst < bound, "{name}, image {image}: latents differ by {worst}");
        all.extend_from_slice(state.latents());

        let output = pipeline.finish(state, &interrupt).unwrap();
        let cut = case.request.prompt.len() > 150 && !case.request.long_prompt;
        assert_eq!(output.warnings.len(), usize::from(cut), "{name}: {:?}", output.warnings);
        let Media::Image(picture) = &output.media else { panic!("{:?}", output.media) };
        let reference = &case.images[image as usize];
        assert_eq!([picture.height as usize, picture.width as usize, 3][..], reference.shape);
        let near = support::psnr(&picture.rgb, &reference.bytes());
        assert!(near >= PSNR, "{name}, image {image}: {near} dB");
        println!("{name}, image {image}: latents {worst:.1e}, {near:.1} dB");
    }
    all
}

/// Of all schedulers' vectors for this request, our latents are nearest to our own one's.
fn check_nearest(files: &[File], own: &File, case: &Case, latents: &[f32]) {
    let expected = case.latents.f32();
    let ours = distance(latents, &expected);
    for other in files.iter().filter(|other| other.scheduler != own.scheduler) {
        for rival in other.cases.iter().filter(|rival| rival.request == case.request) {
            let rival = rival.latents.f32();
            if difference(&rival, &expected) > SAME {
                let theirs = distance(latents, &rival);
                assert!(ours < theirs, "{} is nearer to {}", own.scheduler, other.scheduler);
            }
        }
    }
}

/// The largest difference, as a share of the largest value of `wanted` (of 1, if smaller).
pub(crate) fn difference(got: &[f32], wanted: &[f32]) -> f32 {
    let largest = wanted.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
    let worst = got.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    worst / largest
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}
