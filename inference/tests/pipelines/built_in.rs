//! Graphs with lengths built in: of use to requests that need just those, refused by name by a look
//! and by a load where none does.

use std::path::Path;

use hearth_api::GenerationRequest;
use hearth_inference::model::Error;
use hearth_inference::session::Interrupt;
use hearth_media::Media;

use super::support::{
    Drive as _, copy_of, generate, load, look, png, psnr, red_heart, refusal, repository, striped,
};
use super::surgery;

fn picture(folder: &Path, request: &GenerationRequest) -> Vec<u8> {
    match generate(load(folder).unwrap().as_mut(), request, 3).unwrap().media {
        Media::Image(image) => image.rgb,
        other => panic!("{other:?}"),
    }
}

/// A copy of the model with a batch built into those inputs of a component.
fn batched(
    model: &str,
    component: &str,
    inputs: &[(&str, usize)],
    batch: u64,
) -> tempfile::TempDir {
    let copy = copy_of(&repository().join("tests/models").join(model));
    let graph = copy.path().join(component).join("model.onnx");
    for (input, rank) in inputs {
        let mut lengths = vec![None; *rank];
        lengths[0] = Some(batch);
        surgery::fix_lengths(&graph, input, &lengths);
    }
    copy
}

const UNET: [(&str, usize); 2] = [("sample", 4), ("encoder_hidden_states", 3)];

#[test]
fn a_batch_of_one_is_run_twice_for_guidance() {
    let plain = repository().join("tests/models/tiny-sd");
    let one = batched("tiny-sd", "unet", &UNET, 1);
    assert!(look(one.path()).usable, "{:?}", look(one.path()).problems);
    let negative_prompt = Some("blue".to_owned());
    for (scale, same) in [(1.0, f64::INFINITY), (7.5, 60.0)] {
        let guidance_scale = Some(scale);
        let negative_prompt = negative_prompt.clone().filter(|_| scale > 1.0);
        let request = GenerationRequest { guidance_scale, negative_prompt, ..red_heart(3) };
        let near = psnr(&picture(one.path(), &request), &picture(&plain, &request));
        assert!(near >= same, "guidance {scale}: {near} dB");
    }
    // Guidance that the model takes as an input needs one prediction.
    let distilled = [UNET[0], UNET[1], ("timestep_cond", 2)];
    let one = batched("tiny-lcm", "unet", &distilled, 1);
    let request = GenerationRequest { guidance_scale: Some(8.5), ..red_heart(2) };
    let plain = repository().join("tests/models/tiny-lcm");
    assert_eq!(picture(one.path(), &request), picture(&plain, &request));
    let one = batched("tiny-ddpm", "unet", &UNET[..1], 1);
    let request =
        GenerationRequest { num_inference_steps: Some(2), ..GenerationRequest::default() };
    let plain = repository().join("tests/models/tiny-ddpm");
    assert_eq!(picture(one.path(), &request), picture(&plain, &request));
}

#[test]
fn controlnets_run_twice_as_well() {
    let plain = repository().join("tests/models/tiny-controlnet");
    let one = batched("tiny-controlnet", "unet", &UNET, 1);
    let steered = GenerationRequest {
        control_image: vec![striped(), striped()],
        guess_mode: Some(true),
        ..red_heart(3)
    };
    let near = psnr(&picture(one.path(), &steered), &picture(&plain, &steered));
    assert!(near > 60.0, "{near} dB");
}

#[test]
fn a_batch_of_two_is_for_guidance() {
    let two = batched("tiny-sd", "unet", &UNET, 2);
    let plain = repository().join("tests/models/tiny-sd");
    let guided = GenerationRequest { guidance_scale: Some(7.5), ..red_heart(2) };
    assert_eq!(picture(two.path(), &guided), picture(&plain, &guided));
    let mut pipeline = load(two.path()).unwrap();
    let unguided = GenerationRequest { guidance_scale: Some(1.0), ..red_heart(2) };
    assert_eq!(
        pipeline.check(&unguided).unwrap_err().to_string(),
        "guidance_scale 1: this export has a batch of 2 built in, as guidance takes it: give more \
         than 1, or export the model with an open batch axis"
    );
    let error = pipeline.start(&unguided, 0, &Interrupt::new()).err();
    assert!(matches!(error, Some(Error::Invalid(_))));
    let partly = GenerationRequest { guidance_interval: Some([0.0, 0.5]), ..guided };
    assert_eq!(
        pipeline.check(&partly).unwrap_err().to_string(),
        "guidance_interval [0, 0.5]: this export has a batch of 2 built in, as guidance takes it at \
         every step; leave it out, or export the model with an open batch axis"
    );
}

/// A model, what is built into which input of it, and what is said.
type Case = (&'static str, &'static str, &'static str, &'static [Option<u64>], &'static str);

#[test]
fn a_length_that_no_request_needs_is_refused_in_the_same_words_by_a_look_and_a_load() {
    const CASES: [Case; 13] = [
        (
            "tiny-sd",
            "unet",
            "sample",
            &[Some(4)],
            "sample has a batch of 4 built in, and is given 1 or 2",
        ),
        (
            "tiny-lcm",
            "unet",
            "sample",
            &[Some(2)],
            "sample has a batch of 2 built in, and is given 1 at",
        ),
        (
            "tiny-ddpm",
            "unet",
            "sample",
            &[Some(2)],
            "sample has a batch of 2 built in, and is given 1 at",
        ),
        (
            "tiny-sd",
            "vae_decoder",
            "latent_sample",
            &[Some(2)],
            "latent_sample has a batch of 2 built in",
        ),
        (
            "tiny-sd",
            "vae_encoder",
            "sample",
            &[Some(2)],
            "sample has a batch of 2 built in, and is given 1",
        ),
        ("tiny-sd", "text_encoder", "input_ids", &[Some(2)], "input_ids has a batch of 2 built in"),
        (
            "tiny-sd",
            "text_encoder",
            "input_ids",
            &[None, Some(9)],
            "9 built in as the length of axis 1",
        ),
        (
            "tiny-sd",
            "unet",
            "encoder_hidden_states",
            &[None, Some(9)],
            "9 built in as the length of axis 1",
        ),
        (
            "tiny-sd",
            "unet",
            "encoder_hidden_states",
            &[None, None, Some(9)],
            "9 built in as the length of",
        ),
        (
            "tiny-sd",
            "vae_decoder",
            "latent_sample",
            &[None, None, Some(9)],
            "one of its rows and columns",
        ),
        (
            "tiny-sdxl",
            "unet",
            "time_ids",
            &[None, Some(5)],
            "time_ids has 5 built in as the length of axis 1",
        ),
        (
            "tiny-sd3",
            "text_encoder_3",
            "input_ids",
            &[Some(2)],
            "input_ids has a batch of 2 built in",
        ),
        (
            "tiny-flux-dev",
            "transformer",
            "hidden_states",
            &[None, Some(7)],
            "7 tokens of a picture built in",
        ),
    ];
    for (model, component, input, lengths, message) in CASES {
        let copy = copy_of(&repository().join("tests/models").join(model));
        surgery::fix_lengths(&copy.path().join(component).join("model.onnx"), input, lengths);
        let problems = look(copy.path()).problems;
        let of_component = |at: &str| at == component;
        let said = problems
            .iter()
            .any(|problem| of_component(&problem.component) && problem.message.contains(message));
        assert!(said, "{model} {component} {input}: {problems:?}");
        assert!(refusal(copy.path()).contains(message), "{}", refusal(copy.path()));
    }
}

#[test]
fn a_length_of_the_text_that_is_built_in_is_the_one_that_is_read() {
    for (model, component, input, lengths, length) in [
        ("tiny-sd3", "text_encoder_3", "input_ids", &[None, Some(77)][..], 77),
        ("tiny-flux-dev", "transformer", "encoder_hidden_states", &[None, Some(40)], 40),
        ("tiny-flux-dev", "transformer", "txt_ids", &[Some(40)], 40),
    ] {
        let plain = repository().join("tests/models").join(model);
        let copy = copy_of(&plain);
        surgery::fix_lengths(&copy.path().join(component).join("model.onnx"), input, lengths);
        let small = GenerationRequest { width: Some(32), height: Some(32), ..red_heart(1) };
        let same = GenerationRequest { max_sequence_length: Some(length), ..small.clone() };
        assert_eq!(picture(copy.path(), &small), picture(&plain, &same), "{model} {input}");
        let pipeline = load(copy.path()).unwrap();
        let other = GenerationRequest { max_sequence_length: Some(length + 1), ..small };
        let refused = pipeline.check(&other).unwrap_err().to_string();
        let wanted =
            format!("this export has {length} tokens built in; give that, or leave it out");
        assert!(refused.contains(&wanted), "{refused}");
    }
}

#[test]
fn tokens_of_a_picture_that_are_built_in_are_its_size() {
    let plain = repository().join("tests/models/tiny-flux-dev");
    let copy = copy_of(&plain);
    let graph = copy.path().join("transformer/model.onnx");
    surgery::fix_lengths(&graph, "hidden_states", &[None, Some(64)]);
    surgery::fix_lengths(&graph, "img_ids", &[Some(64)]);
    let size = load(copy.path()).unwrap().pictures().default_width;
    let same = GenerationRequest { width: Some(size), height: Some(size), ..red_heart(1) };
    assert_eq!(picture(copy.path(), &red_heart(1)), picture(&plain, &same));
    assert!(load(copy.path()).unwrap().pictures().fixed_size);
}

/// A mask is brought to the picture's size as the picture is, and then to black and white.
#[test]
fn a_mask_of_another_size_is_resized() {
    let folder = repository().join("tests/models/tiny-sd");
    let image = hearth_media::decode(striped().bytes().unwrap()).unwrap();
    let mask = image.resized(24, 16);
    let request = |mask: &hearth_media::Image| GenerationRequest {
        image: Some(striped()),
        mask_image: Some(png(mask)),
        ..red_heart(3)
    };
    let resized = mask.resized(image.width, image.height);
    assert_eq!(picture(&folder, &request(&mask)), picture(&folder, &request(&resized)));
}
