//! Runs that share calls of the denoiser: the same pictures as alone, but for the last bits.

use std::any::Any;
use std::slice;

use hearth_api::GenerationRequest;
use hearth_api::request::Lora;
use hearth_api::tensor::Dtype;
use hearth_inference::diffusion::PictureRun;
use hearth_inference::model::{Error, Generator, Run, Turn};
use hearth_inference::session::{Interrupt, RawInput};
use hearth_media::{Image, Media};

use super::support::{self, Drive as _, red_heart, repository};
use super::surgery;

/// What sharing a step may change of the latents, of their largest.
const TOLERANCE: f32 = 1e-4;

/// Models, and what else their requests need.
fn models() -> Vec<(&'static str, GenerationRequest)> {
    let picture = Some(support::striped());
    let plain = GenerationRequest { prompt: "red heart".to_owned(), ..Default::default() };
    let control_image = vec![support::striped(); 2];
    let steered = GenerationRequest { control_image, ..plain.clone() };
    let filled = GenerationRequest {
        image: picture.clone(),
        mask_image: picture.clone(),
        strength: Some(0.9),
        ..plain.clone()
    };
    let adapted = |name: &str| {
        let lora = vec![Lora { name: name.to_owned(), scale: 0.5 }];
        GenerationRequest { lora, ..plain.clone() }
    };
    vec![
        ("models/emoji", plain.clone()),
        (
            "models/emoji",
            GenerationRequest { image: picture, strength: Some(0.7), ..plain.clone() },
        ),
        ("tests/models/tiny-sd", plain.clone()),
        ("tests/models/tiny-sd-f16", plain.clone()),
        ("tests/models/tiny-inpaint", filled),
        ("tests/models/tiny-controlnet", steered),
        ("tests/models/tiny-lora", adapted("ink")),
        ("tests/models/tiny-lcm", plain.clone()),
        ("tests/models/tiny-sdxl", plain.clone()),
        ("tests/models/tiny-sd3", plain.clone()),
        ("tests/models/tiny-flux-dev", plain.clone()),
        ("tests/models/tiny-flux-schnell", plain),
        ("tests/models/tiny-ddpm", GenerationRequest::default()),
        (
            "tests/models/tiny-consistency",
            GenerationRequest { class_labels: Some(3), ..GenerationRequest::default() },
        ),
    ]
}

fn latents(run: &dyn Run) -> Vec<f32> {
    let run: &dyn Any = run;
    run.downcast_ref::<PictureRun>().unwrap().latents().to_vec()
}

fn step(generator: &mut dyn Generator, runs: &mut [Box<dyn Run>]) {
    let calm = Interrupt::new();
    let mut turns: Vec<_> = runs.iter_mut().map(|run| Turn::new(run.as_mut(), &calm)).collect();
    generator.step(&mut turns);
    turns.into_iter().for_each(|turn| turn.outcome.unwrap());
}

/// How far two lists of numbers are from each other, of the largest of them.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    off / b.iter().map(|value| value.abs()).fold(0.0, f32::max)
}

#[test]
fn a_step_that_is_shared_is_the_same_as_one_alone() {
    for (name, request) in models() {
        let mut model = support::load(&repository().join(name)).unwrap();
        let side = |default: u32| Some(default.min(128));
        let pictures = model.pictures();
        let (width, height) = (side(pictures.default_width), side(pictures.default_height));
        let steps = pictures.default_steps.min(4);
        let request = GenerationRequest { width, height, ..request };
        let request = GenerationRequest { num_inference_steps: Some(steps), ..request };
        let prepared = model.prepare(&request).unwrap();
        let generator = model.generator().unwrap();
        let calm = Interrupt::new();
        let mut runs: Vec<_> =
            (0..5).map(|seed| generator.start(&prepared, seed, &calm).unwrap()).collect();
        let keys: Vec<_> = runs.iter().map(|run| run.batch_key()).collect();
        assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{name}: {keys:?}");
        while !runs[0].is_done() {
            let before: Vec<_> = runs.iter().map(|run| run.snapshot()).collect();
            step(generator, &mut runs);
            for (run, before) in runs.iter().zip(before) {
                let mut alone = generator.resume(&prepared, &before, &calm).unwrap();
                step(generator, slice::from_mut(&mut alone));
                let off = distance(&latents(run.as_ref()), &latents(alone.as_ref()));
                assert!(off <= TOLERANCE, "{name}: {off} after step {}", run.step_index());
            }
        }
        for (seed, run) in runs.into_iter().enumerate() {
            let generator = model.generator().unwrap();
            let shared = picture(generator.finish(run, &calm).unwrap().media);
            let alone = support::generate(model.as_mut(), &request, seed as u64).unwrap();
            let near = support::psnr(&shared.rgb, &picture(alone.media).rgb);
            assert!(near >= 60.0, "{name}: {near} dB");
        }
    }
}

fn picture(media: Media) -> Image {
    match media {
        Media::Image(image) => image,
        other => panic!("{other:?}"),
    }
}

#[test]
fn runs_join_and_leave_between_steps_whatever_is_their_own() {
    let mut model = support::load(&support::emoji()).unwrap();
    let request = |prompt: &str, steps, guidance, scheduler: &str| GenerationRequest {
        prompt: prompt.to_owned(),
        num_inference_steps: Some(steps),
        guidance_scale: Some(guidance),
        scheduler: Some(scheduler.to_owned()),
        ..GenerationRequest::default()
    };
    let requests = [
        request("red heart", 12, 3.0, "euler"),
        request("tiger face", 5, 7.5, "heun"),
        request("green apple", 7, 1.5, "dpmpp_2m_sde_karras"),
        request("fox", 9, 1.0, "unipc"),
        request("sun", 4, 2.0, "pndm"),
    ];
    let alone = requests
        .clone()
        .map(|request| picture(support::generate(model.as_mut(), &request, 5).unwrap().media));
    let calm = Interrupt::new();
    let (mut runs, mut made) = (Vec::new(), Vec::new());
    let mut waiting = requests.iter().enumerate();
    while made.len() < requests.len() {
        if let Some((index, request)) = waiting.next() {
            let prepared = model.prepare(request).unwrap();
            let run = model.generator().unwrap().start(&prepared, 5, &calm).unwrap();
            runs.push((index, run));
        }
        let generator = model.generator().unwrap();
        let mut turns: Vec<_> =
            runs.iter_mut().map(|(_, run)| Turn::new(run.as_mut(), &calm)).collect();
        generator.step(&mut turns);
        turns.into_iter().for_each(|turn| turn.outcome.unwrap());
        let (done, left): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(_, run)| run.is_done());
        runs = left;
        for (index, run) in done {
            made.push((index, picture(generator.finish(run, &calm).unwrap().media)));
        }
    }
    for (index, picture) in made {
        let near = support::psnr(&picture.rgb, &alone[index].rgb);
        assert!(near >= 60.0, "{:?}: {near} dB", requests[index]);
    }
}

#[test]
fn an_exact_picture_is_computed_alone() {
    let mut model = support::load(&support::emoji()).unwrap();
    let exact = GenerationRequest { exact: Some(true), ..red_heart(6) };
    let wanted = support::generate(model.as_mut(), &red_heart(6), 3).unwrap().media;
    let calm = Interrupt::new();
    let [exact, other] = [exact, red_heart(6)].map(|request| model.prepare(&request).unwrap());
    let generator = model.generator().unwrap();
    let mut runs = vec![
        generator.start(&exact, 3, &calm).unwrap(),
        generator.start(&other, 4, &calm).unwrap(),
        generator.start(&other, 5, &calm).unwrap(),
    ];
    assert_eq!(runs[0].batch_key(), None);
    assert_eq!(runs[1].batch_key(), runs[2].batch_key());
    while !runs[0].is_done() {
        step(generator, &mut runs);
    }
    assert_eq!(generator.finish(runs.remove(0), &calm).unwrap().media, wanted);
}

#[test]
fn a_run_that_is_interrupted_costs_those_that_share_its_step_nothing() {
    let mut model = support::load(&support::emoji()).unwrap();
    let wanted = support::generate(model.as_mut(), &red_heart(6), 2).unwrap().media;
    let prepared = model.prepare(&red_heart(6)).unwrap();
    let generator = model.generator().unwrap();
    let (calm, thrown) = (Interrupt::new(), Interrupt::new());
    let mut runs = [1, 2].map(|seed| generator.start(&prepared, seed, &calm).unwrap());
    for taken in 0..6 {
        if taken == 3 {
            thrown.interrupt();
        }
        let [first, second] = &mut runs;
        let mut turns = [Turn::new(first.as_mut(), &thrown), Turn::new(second.as_mut(), &calm)];
        generator.step(&mut turns);
        let [first, second] = turns.map(|turn| turn.outcome);
        assert_eq!(matches!(first, Err(Error::Interrupted(_))), taken >= 3);
        second.unwrap();
    }
    let [first, second] = runs;
    assert_eq!(first.step_index(), 3, "an interrupted step is not taken");
    let made = picture(generator.finish(second, &calm).unwrap().media);
    assert!(support::psnr(&made.rgb, &picture(wanted).rgb) >= 60.0);
}

#[test]
fn a_graph_that_scales_by_all_that_it_is_given_is_run_for_one_picture_alone() {
    let copy = support::copy_of(&repository().join("tests/models/tiny-sd"));
    let own = "out_sample::own";
    let nodes = [
        surgery::node_of("DynamicQuantizeLinear", &[own], &["levels", "scale", "zero"], &[]),
        surgery::node("Identity", &[own], "out_sample", &[]),
    ];
    surgery::after(&copy.path().join("unet/model.onnx"), "out_sample", &nodes, &[]);
    let mut model = support::load(copy.path()).unwrap();
    let prepared = model.prepare(&red_heart(2)).unwrap();
    assert_eq!(prepared.shares(), None);
    let run = model.generator().unwrap().start(&prepared, 1, &Interrupt::new()).unwrap();
    assert_eq!(run.batch_key(), None);
}

#[test]
fn a_scalar_timestep_that_the_graph_spreads_is_one_for_each_picture() {
    let mut model = support::load(&support::emoji()).unwrap();
    let mut graphs = model.graphs();
    let unet = graphs.iter_mut().find(|graph| graph.name() == "unet").unwrap();
    let timestep = unet.input("timestep").unwrap();
    assert_eq!(timestep.dims, [None], "its file has a scalar");
    let (sample, states) = (vec![0; 4 * 12 * 16 * 16], vec![0; 4 * 24 * 128]);
    let mut infer = |shape: &[usize]| {
        let input = |name, shape, data| RawInput { name, dtype: Dtype::F32, shape, data };
        let inputs = [
            input("sample", &[1, 12, 16, 16], sample.as_slice()),
            input("timestep", shape, &[0, 0, 200, 67]),
            input("encoder_hidden_states", &[1, 24, 128], states.as_slice()),
        ];
        unet.infer(&inputs, &[], 1 << 20, &Interrupt::new()).unwrap()
    };
    assert_eq!(infer(&[]), infer(&[1]), "callers who know the file give it as one");
}
