//! Driving a pipeline step by step: interruption, previews, several pictures at once.

use std::thread;
use std::time::{Duration, Instant};

use hearth_inference::noise;
use hearth_inference::pipelines::{self, Error, Generation, Pipeline};
use hearth_inference::session::Interrupt;

use super::support::{self, red_heart};

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
    assert_eq!(output.settings.num_inference_steps, 3);
    assert!(output.session_time > Duration::ZERO);
}

#[test]
fn a_loaded_model_warms_up() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    pipelines::warm_up(pipeline.as_mut(), &Interrupt::new()).unwrap();
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
    let on = |noise_device| Generation { noise_device, ..red_heart(2) };
    let start = |pipeline: &mut dyn Pipeline, request: &Generation| {
        pipeline.start(request, 7, &Interrupt::new()).unwrap().latents().to_vec()
    };
    let cpu = start(pipeline.as_mut(), &on(noise::Device::Cpu));
    let cuda = start(pipeline.as_mut(), &on(noise::Device::Cuda));
    assert_eq!(cpu, start(pipeline.as_mut(), &red_heart(2)));
    assert_ne!(cpu, cuda);
}
