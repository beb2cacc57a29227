//! Long and weighted prompts, and layers that are left out: what is read, and what is refused.
//! That pictures are those of the reference is in `families` and `vectors`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hearth_api::GenerationRequest;
use hearth_inference::model::{Error, Model};
use hearth_inference::session::Interrupt;

use super::support::{self, Drive as _, chain};

fn model(name: &str) -> PathBuf {
    support::repository().join("tests/models").join(name)
}

fn asked(prompt: &str) -> GenerationRequest {
    GenerationRequest {
        prompt: prompt.to_owned(),
        num_inference_steps: Some(1),
        ..GenerationRequest::default()
    }
}

/// What is said before anything is queued.
fn refusal(pipeline: &mut dyn Model, request: &GenerationRequest) -> String {
    let refused = pipeline.check(request).unwrap_err().to_string();
    assert!(matches!(pipeline.start(request, 0, &Interrupt::new()).err(), Some(Error::Invalid(_))));
    refused
}

/// The latents after one step.
fn drawn(pipeline: &mut dyn Model, request: &GenerationRequest) -> Vec<f32> {
    let interrupt = Interrupt::new();
    let mut state = pipeline.start(request, 3, &interrupt).unwrap();
    pipeline.step(&mut [&mut state], &interrupt).unwrap();
    state.latents().to_vec()
}

#[test]
fn brackets_are_letters_until_weights_are_asked_for() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let mut draw = |prompt: &str, weights| {
        let prompt_weights = Some(weights);
        drawn(pipeline.as_mut(), &GenerationRequest { prompt_weights, ..asked(prompt) })
    };
    let plain = draw("red heart", false);
    assert_eq!(draw("red heart", true), plain);
    assert_eq!(draw("(red:1.0) [heart:1)", true), draw("red [heart:1)", true));
    assert_eq!(draw(r"\(red\) heart", true), draw("(red) heart", false));
    assert_ne!(draw("(red) heart", false), plain);
    assert_ne!(draw("(red:1.5) heart", true), plain);
    assert_ne!(draw("(red:1.5) heart", true), draw("(red:1.5) heart", false), "not by one key");
    assert!(draw("(red heart:0)", true).iter().all(|value| value.is_finite()));
}

#[test]
fn a_long_prompt_is_read_to_its_end() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let words = |last: &str| format!("{}{last}", "heart ".repeat(30));
    let mut draw = |last: &str, long| {
        let long_prompt = Some(long);
        drawn(pipeline.as_mut(), &GenerationRequest { long_prompt, ..asked(&words(last)) })
    };
    assert_eq!(draw("red", false), draw("blue", false), "cut before the difference");
    assert_ne!(draw("red", true), draw("blue", true));
    let short = asked("red heart");
    let long = GenerationRequest { long_prompt: Some(true), ..short.clone() };
    assert_eq!(drawn(pipeline.as_mut(), &short), drawn(pipeline.as_mut(), &long));

    let cut = pipeline.start(&asked(&words("blue")), 0, &Interrupt::new()).unwrap();
    let warning = &pipeline.finish(cut, &Interrupt::new()).unwrap().warnings[0];
    assert!(warning.starts_with("prompt is cut: its last "), "{warning}");
    assert!(warning.contains("blue\", are left out, as the model reads 24; set long_prompt"));

    let endless = GenerationRequest { long_prompt: Some(true), ..asked(&"heart ".repeat(1_000)) };
    let interrupt = Interrupt::new();
    let error = pipeline.start(&endless, 0, &interrupt).err().unwrap();
    assert!(matches!(error, Error::Invalid(_)));
    let message = "it takes 46 chunks of 22 tokens; shorten it to 8 or fewer";
    assert!(chain(&error).contains(message), "{error}");
}

#[test]
fn all_prompts_are_read_before_one_is_encoded() {
    let endless = "heart ".repeat(1_000);
    let long = GenerationRequest {
        long_prompt: Some(true),
        negative_prompt: Some("blue".to_owned()),
        guidance_scale: Some(3.0),
        ..asked("red heart")
    };
    let second = GenerationRequest { prompt_2: Some(endless.clone()), ..long.clone() };
    let negative = GenerationRequest { negative_prompt_2: Some(endless.clone()), ..long.clone() };
    let first = GenerationRequest { prompt: endless.clone(), ..long };
    for (name, request, field) in [
        ("models/emoji", &first, "prompt"),
        ("tests/models/tiny-sdxl", &first, "prompt"),
        ("tests/models/tiny-sdxl", &second, "prompt_2"),
        ("tests/models/tiny-sdxl", &negative, "negative_prompt_2"),
    ] {
        let mut pipeline = support::load(&support::repository().join(name)).unwrap();
        let error = pipeline.start(request, 0, &Interrupt::new()).err().unwrap();
        assert!(error.to_string().starts_with(&format!("{field} \"heart heart")), "{error}");
        let busy: Duration = pipeline.graphs().iter().map(|graph| graph.busy()).sum();
        assert_eq!(busy, Duration::ZERO, "{name}: {field}");
    }
}

#[test]
fn a_second_negative_prompt_alone_counts_where_zeros_do_not_stand_for_the_first() {
    let folder = support::copy_of(&model("tiny-sdxl"));
    let index = folder.path().join("model_index.json");
    let zeros = fs::read_to_string(&index).unwrap();
    let encoded = zeros.replace(
        r#""force_zeros_for_empty_prompt": true"#,
        r#""force_zeros_for_empty_prompt": false"#,
    );
    assert_ne!(zeros, encoded);
    let plain = GenerationRequest { guidance_scale: Some(3.0), ..asked("red heart") };
    let second = GenerationRequest { negative_prompt_2: Some("blue".to_owned()), ..plain.clone() };
    let both = GenerationRequest { negative_prompt: Some(String::new()), ..second.clone() };
    let same = |index_json: String, request: &GenerationRequest| {
        fs::write(&index, index_json).unwrap();
        let mut pipeline = support::load(folder.path()).unwrap();
        let state = pipeline.start(request, 0, &Interrupt::new()).unwrap();
        let warnings = pipeline.finish(state, &Interrupt::new()).unwrap().warnings;
        (drawn(pipeline.as_mut(), &plain) == drawn(pipeline.as_mut(), request), warnings)
    };
    let warning =
        "negative_prompt_2 has no effect: it goes with a negative_prompt, and there is none";
    assert_eq!(same(zeros.clone(), &second), (true, vec![warning.to_owned()]));
    assert_eq!(same(zeros, &both), (false, Vec::new()));
    assert_eq!(same(encoded.clone(), &second), (false, Vec::new()));
    assert_eq!(same(encoded, &both), (false, Vec::new()));
}

#[test]
fn what_is_remembered_is_remembered_with_how_it_was_read() {
    let mut pipeline = support::load(&model("tiny-sd")).unwrap();
    let mut draw = |request: &GenerationRequest| drawn(pipeline.as_mut(), request);
    let plain = asked("a red heart");
    let skip = |layers| GenerationRequest { clip_skip: Some(layers), ..plain.clone() };
    let (none, one, two) = (draw(&plain), draw(&skip(1)), draw(&skip(2)));
    assert!(none != one && one != two && none != two);
    for (layers, drawn) in [(0, &none), (2, &two), (1, &one), (0, &none)] {
        assert_eq!(&draw(&skip(layers)), drawn, "{layers}");
    }
}

#[test]
fn layers_that_a_graph_lacks_get_the_command_that_adds_them() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let request = GenerationRequest { clip_skip: Some(1), ..asked("red heart") };
    let refused = refusal(pipeline.as_mut(), &request);
    assert!(refused.contains("clip_skip 1: this model's text encoder gives its last"), "{refused}");
    assert!(refused.contains("python -m export.clip_skip FOLDER"), "{refused}");
    assert_eq!(pipeline.pictures().max_clip_skip, 0);

    let mut pipeline = support::load(&model("tiny-sd")).unwrap();
    assert_eq!(pipeline.pictures().max_clip_skip, 2);
    assert!(pipeline.pictures().fields.contains(&"clip_skip"));
    let request = GenerationRequest { clip_skip: Some(3), ..asked("red heart") };
    assert_eq!(refusal(pipeline.as_mut(), &request), "clip_skip 3: give 0 to 2");
}

#[test]
fn weights_that_cannot_be_meant_are_refused() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let mut refused = |prompt: &str| {
        refusal(
            pipeline.as_mut(),
            &GenerationRequest { prompt_weights: Some(true), ..asked(prompt) },
        )
    };
    assert!(refused("(red:1000) heart").contains("\"red\" would weigh 1000; give weights from"));
    assert!(refused(&"(".repeat(100)).contains("more than 64 brackets are open"));
    assert!(refused("red BREAK heart").contains("set long_prompt as well"));
    let request = GenerationRequest {
        prompt_weights: Some(true),
        negative_prompt: Some("(blue:-200)".to_owned()),
        ..asked("red heart")
    };
    assert!(refusal(pipeline.as_mut(), &request).starts_with("negative_prompt \"(blue:-200)\": "));
}

#[test]
fn who_has_no_use_for_it_says_so() {
    for name in ["tiny-sd3", "tiny-flux-dev"] {
        let mut pipeline = support::load(&model(name)).unwrap();
        for request in [
            GenerationRequest { long_prompt: Some(true), ..asked("x") },
            GenerationRequest { prompt_weights: Some(true), ..asked("x") },
        ] {
            let refused = refusal(pipeline.as_mut(), &request);
            assert!(refused.contains("models have no use for it; leave it out"), "{refused}");
        }
    }
}

#[test]
fn a_denoiser_of_one_length_takes_no_long_prompt() {
    let folder = support::copy_of(&model("tiny-sd"));
    let path = folder.path().join("unet/model.onnx");
    let mut graph = fs::read(&path).unwrap();
    // The axis `sequence_length` becomes one of 20: a number (field 1), and a denotation (field 3)
    // that takes up the rest of the name's bytes.
    let open = b"\x12\x0fsequence_length";
    let built_in = b"\x08\x14\x1a\x0dxxxxxxxxxxxxx";
    assert_eq!(open.len(), built_in.len());
    let at = graph.windows(open.len()).position(|bytes| bytes == open).unwrap();
    graph[at..at + open.len()].copy_from_slice(built_in);
    fs::write(&path, graph).unwrap();

    let mut pipeline = support::load(folder.path()).unwrap();
    assert_eq!(pipeline.pictures().max_prompt_chunks, 1);
    let request = GenerationRequest { long_prompt: Some(true), ..asked("red heart") };
    let refused = refusal(pipeline.as_mut(), &request);
    assert_eq!(
        refused,
        "long_prompt true: this export has the length of a prompt built in; leave it out, or export \
         the denoiser with an open sequence axis"
    );
    let cut = asked(&"heart ".repeat(30));
    let state = pipeline.start(&cut, 0, &Interrupt::new()).unwrap();
    let warnings = pipeline.finish(state, &Interrupt::new()).unwrap().warnings;
    assert!(warnings[0].ends_with("as the model reads 20"), "no remedy there: {warnings:?}");
}
