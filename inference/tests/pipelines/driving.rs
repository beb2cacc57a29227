//! Driving a pipeline step by step: interruption, previews, several pictures at once.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use hearth_api::GenerationRequest;
use hearth_api::request::NoiseDevice;
use hearth_inference::model::{self, BatchKey, Error, Model, Run, Snapshot, Turn};
use hearth_inference::session::Interrupt;
use hearth_media::Image;

use super::support::{self, Drive as _, red_heart};

#[test]
fn an_interrupt_stops_a_running_session_and_leaves_it_usable() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let wanted = support::generate(pipeline.as_mut(), &red_heart(3), 5).unwrap();

    for delay in [0, 3, 10, 40, 80] {
        let interrupt = Interrupt::new();
        let mut state = pipeline.start(&red_heart(1000), 5, &interrupt).unwrap();
        let thrower = {
            let interrupt = interrupt.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(delay));
                interrupt.interrupt();
                Instant::now()
            })
        };
        let error = loop {
            if let Err(error) = pipeline.step(&mut [&mut state], &interrupt) {
                break error;
            }
        };
        let late = thrower.join().unwrap().elapsed();
        assert!(matches!(error, Error::Interrupted(_)), "{error}");
        assert!(late < Duration::from_millis(500), "{late:?}");
        let index = state.step_index();
        let again = pipeline.step(&mut [&mut state], &interrupt).unwrap_err();
        assert!(matches!(again, Error::Interrupted(_)));
        assert_eq!(state.step_index(), index, "an interrupted step is not taken");
    }
    assert_eq!(support::generate(pipeline.as_mut(), &red_heart(3), 5).unwrap().media, wanted.media);
}

#[test]
fn an_interrupted_start_and_finish_stop_too() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let (thrown, calm) = (Interrupt::new(), Interrupt::new());
    thrown.interrupt();
    let error = pipeline.start(&red_heart(1), 0, &thrown).err();
    assert!(matches!(error, Some(Error::Interrupted(_))));
    let mut state = pipeline.start(&red_heart(1), 0, &calm).unwrap();
    pipeline.step(&mut [&mut state], &calm).unwrap();
    assert!(matches!(pipeline.finish(state, &thrown), Err(Error::Interrupted(_))));
}

#[test]
fn pictures_stepped_together_are_the_same_as_alone() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let interrupt = Interrupt::new();
    let mut other = red_heart(4);
    other.prompt = "tiger face".to_owned();
    (other.width, other.guidance_scale) = (Some(96), Some(1.0));
    let alone = [
        support::generate(pipeline.as_mut(), &red_heart(3), 1).unwrap(),
        support::generate(pipeline.as_mut(), &other, 2).unwrap(),
    ];
    let mut first = pipeline.start(&red_heart(3), 1, &interrupt).unwrap();
    let mut second = pipeline.start(&other, 2, &interrupt).unwrap();
    while !(first.is_done() && second.is_done()) {
        pipeline.step(&mut [&mut first, &mut second], &interrupt).unwrap();
    }
    assert_eq!(pipeline.finish(first, &interrupt).unwrap().media, alone[0].media);
    assert_eq!(pipeline.finish(second, &interrupt).unwrap().media, alone[1].media);
}

/// A run that no model here has started.
struct Stranger;

impl Run for Stranger {
    fn batch_key(&self) -> Option<BatchKey> {
        Some(BatchKey::new("none"))
    }

    fn step_index(&self) -> usize {
        0
    }

    fn steps(&self) -> usize {
        1
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { seed: 0, step_index: 0, tensors: BTreeMap::new() }
    }
}

#[test]
fn a_run_that_fails_or_is_interrupted_costs_the_others_of_its_call_nothing() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let request = GenerationRequest { exact: Some(true), ..red_heart(4) };
    let wanted =
        [1, 2].map(|seed| support::generate(pipeline.as_mut(), &request, seed).unwrap().media);
    let prepared = pipeline.prepare(&request).unwrap();
    let generator = pipeline.generator().unwrap();
    let (calm, thrown) = (Interrupt::new(), Interrupt::new());
    let mut runs = [1, 2, 3].map(|seed| generator.start(&prepared, seed, &calm).unwrap());
    let mut stranger = Stranger;
    for step in 0..4 {
        if step == 2 {
            thrown.interrupt();
        }
        let [first, second, third] = &mut runs;
        let mut turns = [
            Turn::new(first.as_mut(), &calm),
            Turn::new(&mut stranger, &calm),
            Turn::new(third.as_mut(), &thrown),
            Turn::new(second.as_mut(), &calm),
        ];
        generator.step(&mut turns);
        let [first, foreign, interrupted, second] = turns.map(|turn| turn.outcome);
        assert!(first.is_ok() && second.is_ok());
        assert!(matches!(foreign, Err(Error::Foreign)));
        assert_eq!(matches!(interrupted, Err(Error::Interrupted(_))), step >= 2);
    }
    assert_eq!(runs[2].step_index(), 2, "an interrupted step is not taken");
    let [first, second, _] = runs;
    let made = [first, second].map(|run| generator.finish(run, &calm).unwrap().media);
    assert_eq!(made, wanted);
}

#[test]
fn the_interrupt_of_a_running_session_stops_its_own_run_alone() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let exact = |steps| GenerationRequest { exact: Some(true), ..red_heart(steps) };
    let wanted = support::generate(pipeline.as_mut(), &exact(12), 2).unwrap().media;
    let [long, short] = [1000, 12].map(|steps| pipeline.prepare(&exact(steps)).unwrap());
    let generator = pipeline.generator().unwrap();
    let (calm, thrown) = (Interrupt::new(), Interrupt::new());
    let mut first = generator.start(&long, 1, &thrown).unwrap();
    let mut second = generator.start(&short, 2, &calm).unwrap();
    let thrower = {
        let thrown = thrown.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(15));
            thrown.interrupt();
        })
    };
    let mut stopped = false;
    while !(second.is_done() && stopped) {
        let mut turns = [Turn::new(first.as_mut(), &thrown), Turn::new(second.as_mut(), &calm)];
        generator.step(&mut turns);
        let [first, second] = turns.map(|turn| turn.outcome);
        stopped = first.is_err();
        second.unwrap();
    }
    thrower.join().unwrap();
    assert_eq!(generator.finish(second, &calm).unwrap().media, wanted);
}

#[test]
fn items_of_one_request_share_what_was_prepared() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let image = Some(support::png(&Image::new(64, 64, vec![90; 64 * 64 * 3]).unwrap()));
    let request = GenerationRequest { image, strength: Some(0.6), ..red_heart(5) };
    let alone =
        [7, 8].map(|seed| support::generate(pipeline.as_mut(), &request, seed).unwrap().media);
    let prepared = pipeline.prepare(&request).unwrap();
    assert_eq!(prepared.steps(), 3);
    let generator = pipeline.generator().unwrap();
    let calm = Interrupt::new();
    let together = [7, 8].map(|seed| {
        let mut run = generator.start(&prepared.clone(), seed, &calm).unwrap();
        while !run.is_done() {
            let mut turns = [Turn::new(run.as_mut(), &calm)];
            generator.step(&mut turns);
            let [Turn { outcome, .. }] = turns;
            outcome.unwrap();
        }
        generator.finish(run, &calm).unwrap().media
    });
    assert_eq!(together, alone);
    assert_ne!(together[0], together[1]);
}

#[test]
fn runs_that_could_share_a_step_have_equal_keys() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let interrupt = Interrupt::new();
    let key = |pipeline: &mut dyn Model, request: &GenerationRequest, seed| {
        pipeline.start(request, seed, &interrupt).unwrap().0.batch_key().unwrap()
    };
    let plain = red_heart(4);
    let own = key(pipeline.as_mut(), &plain, 1);
    let other = GenerationRequest { prompt: "tiger face".to_owned(), ..plain.clone() };
    assert_eq!(own, key(pipeline.as_mut(), &other, 2));
    for other in [
        GenerationRequest { width: Some(96), ..plain.clone() },
        GenerationRequest { guidance_scale: Some(1.0), ..plain.clone() },
        // Twice as many tokens.
        GenerationRequest { long_prompt: Some(true), prompt: "heart ".repeat(30), ..plain.clone() },
    ] {
        assert_ne!(own, key(pipeline.as_mut(), &other, 1), "{other:?}");
    }
}

#[test]
fn a_request_is_started_by_the_model_that_prepared_it_alone() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let other = support::load(&support::repository().join("tests/models/tiny-sd")).unwrap();
    let interrupt = Interrupt::new();
    let [own, foreign] = [pipeline.as_ref(), other.as_ref()]
        .map(|model| model.preparer().unwrap().prepare(&red_heart(2)).unwrap());
    let refused = pipeline.generator().unwrap().start(&foreign, 1, &interrupt).err();
    assert!(matches!(refused, Some(Error::Foreign)), "{refused:?}");
    // It was asleep meanwhile.
    drop(pipeline);
    let mut again = support::load(&support::emoji()).unwrap();
    assert!(again.generator().unwrap().start(&own, 1, &interrupt).is_ok());
}

#[test]
fn a_bare_graph_is_a_model_that_generates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let graph = support::emoji().join("vae_decoder/model.onnx");
    std::fs::copy(graph, folder.path().join("model.onnx")).unwrap();
    let mut model = support::load(folder.path()).unwrap();
    assert!(model.generator().is_none() && model.preparer().is_none());
    assert_eq!(model.graphs().len(), 1);
    assert_eq!(model.description().graphs, ["model"]);
    model::warm_up(model.as_mut(), &Interrupt::new()).unwrap();
    let description = serde_json::to_value(model.description().as_ref()).unwrap();
    let keys: Vec<_> = description.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["device", "digest", "family", "weight_bytes"], "nothing of pictures");
}

#[test]
fn previews_are_small_pictures_and_change_nothing() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let interrupt = Interrupt::new();
    let mut request = red_heart(3);
    (request.width, request.height) = (Some(128), Some(64));
    let wanted = support::generate(pipeline.as_mut(), &request, 9).unwrap();
    let mut state = pipeline.start(&request, 9, &interrupt).unwrap();
    while !state.is_done() {
        pipeline.step(&mut [&mut state], &interrupt).unwrap();
        let preview = pipeline.preview(&state, &interrupt).unwrap().unwrap();
        assert_eq!((preview.width, preview.height), (64, 32));
    }
    let output = pipeline.finish(state, &interrupt).unwrap();
    assert_eq!(output.media, wanted.media);
    assert_eq!(output.request.num_inference_steps, Some(3));
    assert!(output.session_time > Duration::ZERO);
}

#[test]
fn a_loaded_model_warms_up() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    model::warm_up(pipeline.as_mut(), &Interrupt::new()).unwrap();
}

#[test]
fn a_pipeline_can_live_on_its_own_thread() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let picture = thread::spawn(move || {
        support::generate(pipeline.as_mut(), &red_heart(1), 0).unwrap().media
    });
    picture.join().unwrap();
}

#[test]
fn the_seed_stands_for_the_noise_of_the_device_that_is_named() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let on = |noise_device| GenerationRequest { noise_device, ..red_heart(2) };
    let start = |pipeline: &mut dyn Model, request: &GenerationRequest| {
        pipeline.start(request, 7, &Interrupt::new()).unwrap().latents().to_vec()
    };
    let cpu = start(pipeline.as_mut(), &on(Some(NoiseDevice::Cpu)));
    let cuda = start(pipeline.as_mut(), &on(Some(NoiseDevice::Cuda)));
    assert_eq!(cpu, start(pipeline.as_mut(), &red_heart(2)));
    assert_ne!(cpu, cuda);
}
