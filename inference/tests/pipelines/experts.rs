//! A base model begins, a refiner ends: raw latents go from one to the other as in diffusers
//! (`tests/vectors/pipelines/experts.json`).

use std::fs;
use std::path::Path;

use hearth_api::GenerationRequest;
use hearth_api::request::{Input, OutputFormat};
use hearth_inference::model::Model;
use hearth_inference::session::Interrupt;
use hearth_media::{Media, encode};
use serde::Deserialize;

use super::support::{self, Drive as _};
use super::vectors::{Array, LATENTS, PSNR, difference};

#[derive(Deserialize)]
struct File {
    base: String,
    refiner: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    first: Request,
    second: Request,
    scheduler: Option<String>,
    latents: Array,
    image: Array,
    step_latents: Array,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    prompt: String,
    seed: u64,
    num_inference_steps: u32,
    denoising_start: Option<f64>,
    denoising_end: Option<f64>,
    strength: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
}

impl Request {
    fn generation(&self, scheduler: Option<&str>) -> GenerationRequest {
        GenerationRequest {
            prompt: self.prompt.clone(),
            num_inference_steps: Some(self.num_inference_steps),
            denoising_start: self.denoising_start,
            denoising_end: self.denoising_end,
            strength: self.strength,
            width: self.width,
            height: self.height,
            scheduler: scheduler.map(str::to_owned),
            ..GenerationRequest::default()
        }
    }
}

#[test]
fn what_the_base_begins_the_refiner_ends_as_in_diffusers() {
    let vectors =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/pipelines/experts.json");
    let file: File = serde_json::from_str(&fs::read_to_string(vectors).unwrap()).unwrap();
    let mut base = support::load(&support::repository().join(&file.base)).unwrap();
    let mut refiner = support::load(&support::repository().join(&file.refiner)).unwrap();
    for case in &file.cases {
        check_case(base.as_mut(), refiner.as_mut(), case);
    }
}

fn check_case(base: &mut dyn Model, refiner: &mut dyn Model, case: &Case) {
    let scheduler = case.scheduler.as_deref();
    let first = GenerationRequest {
        output_format: Some(OutputFormat::Npy),
        ..case.first.generation(scheduler)
    };
    let begun = support::generate(base, &first, case.first.seed).unwrap();
    // through the file that a person would have of it
    let file = encode(&begun.media, OutputFormat::Npy, &[]).unwrap();
    let Media::Tensor(latents) = &begun.media else { panic!("{:?}", begun.media) };
    assert_eq!(latents.shape, case.latents.shape);
    let numbers = latents.data.chunks_exact(4);
    let values: Vec<_> = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let off = difference(&values, &case.latents.f32());
    assert!(off < LATENTS, "the base's latents are off by {off}");

    let second =
        GenerationRequest { image: Some(Input::new(file)), ..case.second.generation(scheduler) };
    let interrupt = Interrupt::new();
    let mut state = refiner.start(&second, case.second.seed, &interrupt).unwrap();
    assert_eq!(state.steps(), case.step_latents.shape[0]);
    for wanted in case.step_latents.f32().chunks_exact(state.latents().len()) {
        refiner.step(&mut [&mut state], &interrupt).unwrap();
        let off = difference(state.latents(), wanted);
        assert!(off < LATENTS, "refiner's step {}: {off}", state.step_index());
    }
    let output = refiner.finish(state, &interrupt).unwrap();
    assert!(output.warnings.is_empty(), "{:?}", output.warnings);
    let Media::Image(picture) = &output.media else { panic!("{:?}", output.media) };
    let near = support::psnr(&picture.rgb, &case.image.bytes());
    assert!(near >= PSNR, "{near} dB");
    println!("latents {off:.1e}, {near:.1} dB");
}
