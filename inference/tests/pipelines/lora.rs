//! LoRA adapters whose strengths are inputs of the graphs. That their pictures are diffusers' own
//! is shown in `families`.

use std::fs;
use std::path::Path;

use hearth_api::GenerationRequest;
use hearth_api::request::Lora;
use hearth_inference::model::Model;
use hearth_inference::session::Interrupt;
use hearth_media::Media;

use super::support::{self, Drive as _};

fn model() -> Box<dyn Model> {
    support::load(&support::repository().join("tests/models/tiny-lora")).unwrap()
}

fn asking(lora: &[(&str, f64)]) -> GenerationRequest {
    let one = |&(name, scale): &(&str, f64)| Lora { name: name.to_owned(), scale };
    GenerationRequest {
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(4),
        lora: lora.iter().map(one).collect(),
        ..GenerationRequest::default()
    }
}

fn picture(pipeline: &mut dyn Model, request: &GenerationRequest) -> Media {
    support::generate(pipeline, request, 5).unwrap().media
}

#[test]
fn adapters_are_listed_and_none_is_taken_unasked() {
    let mut pipeline = model();
    let description = pipeline.pictures();
    assert_eq!(description.lora, ["glow", "ink"]);
    assert!(description.fields.contains(&"lora"));
    let plain = picture(pipeline.as_mut(), &asking(&[]));
    let none = picture(pipeline.as_mut(), &asking(&[("ink", 0.0), ("glow", -0.0)]));
    assert_eq!(plain, none);
    let mut without = support::load(&support::emoji()).unwrap();
    assert!(without.pictures().lora.is_empty());
    assert!(!without.pictures().fields.contains(&"lora"));
    let refused = without.start(&asking(&[("ink", 1.0)]), 0, &Interrupt::new()).err().unwrap();
    assert!(refused.to_string().contains("lora \"ink\": this model has no adapters"), "{refused}");
}

#[test]
fn pictures_with_other_scales_are_independent() {
    let mut pipeline = model();
    let requests = [
        asking(&[]),
        asking(&[("ink", 1.0)]),
        asking(&[("ink", -1.0), ("glow", 0.5)]),
        asking(&[("glow", 0.5)]),
        asking(&[]),
    ];
    let alone = requests.each_ref().map(|request| picture(model().as_mut(), request));
    assert_eq!(alone[0], alone[4]);
    for (index, one) in alone[..4].iter().enumerate() {
        assert!(alone[..index].iter().all(|other| other != one), "{index} is another's picture");
    }
    // One after another, the same prompt each time: neither its encoding nor the graph's memory is
    // another request's.
    let in_turn = requests.each_ref().map(|request| picture(pipeline.as_mut(), request));
    assert_eq!(in_turn, alone);
    // And a step of each in turn.
    assert_eq!(support::generate_in_turn(pipeline.as_mut(), &requests, 5), alone);
}

#[test]
fn what_is_no_adapter_or_no_scale_is_refused_by_name() {
    let pipeline = model();
    for (lora, message) in [
        (asking(&[("inc", 1.0)]), "lora \"inc\": no adapter of this model (nearest: ink); it has"),
        (asking(&[("", 1.0)]), "lora \"\": no adapter of this model; it has glow, ink"),
        (asking(&[("ink", f64::NAN)]), "lora ink=NaN: give a scale from -100 to 100"),
        (asking(&[("glow", 1.0), ("ink", 1e4)]), "lora ink=10000: give a scale"),
        (asking(&[("ink", 1.0), ("ink", 0.5)]), "lora \"ink\": is given twice"),
    ] {
        let refused = pipeline.check(&lora).unwrap_err().to_string();
        assert!(refused.contains(message), "{refused}");
    }
}

#[test]
fn an_input_that_names_no_adapter_is_refused_when_the_model_is_loaded() {
    let folder = support::repository().join("tests/models/tiny-lora");
    let cases = [("lora_scale.gl w", "an adapter's name has"), ("lara_scale.glow", "lora_scale")];
    for (name, message) in cases {
        let copy = support::copy_of(&folder);
        rename(&copy.path().join("unet/model.onnx"), "lora_scale.glow", name);
        let refused = support::refusal(copy.path());
        assert!(refused.contains(name) && refused.contains(message), "{refused}");
    }
}

/// Puts another name of the same length into a graph.
fn rename(graph: &Path, from: &str, to: &str) {
    let mut bytes = fs::read(graph).unwrap();
    let places: Vec<_> = (0..=bytes.len() - from.len())
        .filter(|&at| bytes[at..].starts_with(from.as_bytes()))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    }
    fs::write(graph, bytes).unwrap();
}
