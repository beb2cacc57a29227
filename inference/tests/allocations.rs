//! A step takes no memory beyond its session's own, whatever the scheduler and what steers it.
//!
//! Counted are the allocations of this thread in Rust: ONNX Runtime's own are none of them, but the
//! few small ones with which a session is called are. So the bound is far below the latents' size.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests are tests too, and print what they measured"
)]

use std::any::Any;
use std::path::{Path, PathBuf};

use hearth_api::GenerationRequest;
use hearth_api::request::{Input, Lora, OutputFormat};
use hearth_inference::LoadOptions;
use hearth_inference::diffusion::PictureRun;
use hearth_inference::model::{Model, Turn};
use hearth_inference::session::{self, Interrupt, Runtime, Search};
use hearth_media::{Image, Media, encode};

/// Bytes that a step may take: its session's call has names and lists, and the Brownian tree of some
/// schedulers short texts of numbers.
const CALL: u64 = 4096;
/// Steps after which everything that is reused is there.
const WARM: usize = 6;

#[test]
fn a_step_takes_no_memory_of_its_own() {
    let runtime = runtime();
    for model in ["tests/models/tiny-sd", "tests/models/tiny-flux-dev"] {
        let mut pipeline = load(&runtime, model);
        // Another schedule of noise levels takes no other steps.
        let schedules = ["_karras", "_exponential", "_beta"];
        let pictures = pipeline.description().pictures.as_ref();
        let mut names = pictures.unwrap().schedulers.clone();
        names.retain(|name| !schedules.iter().any(|schedule| name.ends_with(schedule)));
        for name in names {
            let scheduler = Some(name.to_owned());
            assert_frugal(pipeline.as_mut(), model, &GenerationRequest { scheduler, ..asked() });
        }
    }
}

#[test]
fn nor_does_one_with_pictures_controlnets_or_adapters() {
    let runtime = runtime();
    let picture = Media::Image(Image::new(64, 64, vec![90; 64 * 64 * 3]).unwrap());
    let picture = Input::new(encode(&picture, OutputFormat::Png, &[]).unwrap());
    let image = Some(picture.clone());
    let masked =
        GenerationRequest { mask_image: image.clone(), image, strength: Some(1.0), ..asked() };
    let steered = GenerationRequest { control_image: vec![picture; 2], ..asked() };
    let adapted = Lora { name: "ink".to_owned(), scale: 0.5 };
    let extras = [
        ("tests/models/tiny-sd", masked.clone()),
        ("tests/models/tiny-inpaint", masked),
        (
            "tests/models/tiny-controlnet",
            GenerationRequest { guess_mode: Some(true), ..steered.clone() },
        ),
        ("tests/models/tiny-controlnet", steered),
        ("tests/models/tiny-lora", GenerationRequest { lora: vec![adapted], ..asked() }),
    ];
    for (model, request) in extras {
        assert_frugal(load(&runtime, model).as_mut(), model, &request);
    }
}

fn runtime() -> Runtime {
    let configured = std::env::var("HEARTH_TEST_ORT").unwrap_or_else(|_| "auto".to_owned());
    let root = root();
    let search = Search { configured: &configured, executable: None, directory: Some(&root) };
    Runtime::load(&session::find(&search).unwrap(), 1).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn load(runtime: &Runtime, model: &str) -> Box<dyn Model> {
    hearth_inference::load(runtime, &root().join(model), &LoadOptions::default()).unwrap()
}

fn asked() -> GenerationRequest {
    GenerationRequest {
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(9),
        width: Some(64),
        height: Some(64),
        ..GenerationRequest::default()
    }
}

fn assert_frugal(pipeline: &mut dyn Model, model: &str, request: &GenerationRequest) {
    let scheduler = &request.scheduler;
    let (bytes, latents) = most_of_a_step(pipeline, request);
    println!("{model}, {scheduler:?}: {bytes} bytes, latents have {latents}");
    assert!(latents > 2 * CALL, "{model}: too small to tell");
    assert!(bytes <= CALL, "{model}, {scheduler:?}: a step took {bytes} bytes");
}

/// The most bytes that a warm step took, and those of the latents.
fn most_of_a_step(pipeline: &mut dyn Model, request: &GenerationRequest) -> (u64, u64) {
    let interrupt = Interrupt::new();
    let prepared = pipeline.preparer().unwrap().prepare(request).unwrap();
    let generator = pipeline.generator().unwrap();
    let mut run = generator.start(&prepared, 7, &interrupt).unwrap();
    let mut most = 0;
    while !run.is_done() {
        let step = run.step_index();
        let taken = allocation_counter::measure(|| {
            let mut turns = [Turn::new(run.as_mut(), &interrupt)];
            generator.step(&mut turns);
            let [Turn { outcome, .. }] = turns;
            outcome.expect("a step");
        });
        if step >= WARM {
            most = most.max(taken.bytes_total);
        }
    }
    let run: &dyn Any = run.as_ref();
    let run: &PictureRun = run.downcast_ref().unwrap();
    (most, 4 * run.latents().len() as u64)
}
