//! Runs put aside between two steps and gone on with, in a model that was loaded anew.

use hearth_api::GenerationRequest;
use hearth_inference::model::{Error, Generator, Model, PreparedRequest, Run, Turn};
use hearth_inference::session::Interrupt;
use hearth_media::{Image, Media, Tensor};

use super::support::{self, Drive as _, red_heart};

/// Takes steps until `count` are taken in all.
fn step_to(generator: &mut dyn Generator, run: &mut dyn Run, count: usize) {
    let calm = Interrupt::new();
    while run.step_index() < count {
        let mut turns = [Turn::new(run, &calm)];
        generator.step(&mut turns);
        let [Turn { outcome, .. }] = turns;
        outcome.unwrap();
    }
}

fn finish(model: &mut dyn Model, mut run: Box<dyn Run>) -> Media {
    let generator = model.generator().unwrap();
    let steps = run.steps();
    step_to(generator, run.as_mut(), steps);
    generator.finish(run, &Interrupt::new()).unwrap().media
}

fn start(model: &mut dyn Model, prepared: &PreparedRequest, count: usize) -> Box<dyn Run> {
    let generator = model.generator().unwrap();
    let mut run = generator.start(prepared, 7, &Interrupt::new()).unwrap();
    step_to(generator, run.as_mut(), count);
    run
}

#[test]
fn a_run_goes_on_bit_by_bit_where_it_was_put_aside() {
    let [mut here, mut there] = [(); 2].map(|()| support::load(&support::emoji()).unwrap());
    let grey = |level| Some(support::png(&Image::new(64, 64, vec![level; 64 * 64 * 3]).unwrap()));
    let mut requests: Vec<_> =
        ["pndm", "ddim", "heun", "euler_a", "dpmpp_2m", "dpmpp_sde", "unipc"]
            .map(|name| GenerationRequest { scheduler: Some(name.to_owned()), ..red_heart(5) })
            .into();
    requests.push(GenerationRequest {
        image: grey(90),
        mask_image: grey(200),
        strength: Some(0.8),
        scheduler: Some("euler_a".to_owned()),
        ..red_heart(5)
    });
    for request in requests {
        let prepared = here.prepare(&request).unwrap();
        let whole = start(here.as_mut(), &prepared, 0);
        let steps = whole.steps();
        let wanted = finish(here.as_mut(), whole);
        for count in [1, 3] {
            let aside = start(here.as_mut(), &prepared, count).snapshot();
            assert_eq!((aside.seed, aside.step_index), (7, count));
            let prepared = there.prepare(&request).unwrap();
            let generator = there.generator().unwrap();
            let run = generator.resume(&prepared, &aside, &Interrupt::new()).unwrap();
            assert_eq!((run.step_index(), run.steps()), (count, steps));
            assert_eq!(run.snapshot(), aside);
            let made = finish(there.as_mut(), run);
            assert_eq!(made, wanted, "{:?} from step {count}", request.scheduler);
        }
    }
}

#[test]
fn what_is_of_another_run_is_refused() {
    let mut model = support::load(&support::emoji()).unwrap();
    let prepared = model.prepare(&red_heart(4)).unwrap();
    let aside = start(model.as_mut(), &prepared, 2).snapshot();
    let mut refused = |change: &dyn Fn(&mut hearth_inference::model::Snapshot)| {
        let mut other = aside.clone();
        change(&mut other);
        let generator = model.generator().unwrap();
        match generator.resume(&prepared, &other, &Interrupt::new()) {
            Err(Error::Snapshot(reason)) => reason,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was taken"),
        }
    };
    let short = |other: &mut hearth_inference::model::Snapshot, name: &str| {
        other.tensors.insert(name.to_owned(), Tensor::list(&[1.0; 3]));
    };
    assert!(refused(&|other| short(other, "latents")).contains("3 numbers"));
    assert!(refused(&|other| short(other, "history.0")).contains("3 numbers"));
    assert!(refused(&|other| other.step_index = 99).contains("99 steps"));
    assert!(refused(&|other| other.tensors.clear()).contains("latents"));
}
