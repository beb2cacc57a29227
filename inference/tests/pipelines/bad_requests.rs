//! Requests that can't be met say so before any compute, naming field, value and remedy.

use hearth_api::GenerationRequest;
use hearth_api::request::Input;
use hearth_inference::model::Error;
use hearth_inference::session::Interrupt;
use hearth_media::Image;

use super::support::{self, Drive as _};

#[test]
fn each_bad_field_is_named_with_its_value_and_remedy() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let good = support::red_heart(2);
    let long = "é".repeat(10_001);
    let spec = |text: &str| Some(text.to_owned());
    let cases: Vec<(GenerationRequest, &str)> = vec![
        (
            GenerationRequest { prompt: long.clone(), ..good.clone() },
            "10001 characters; shorten it to 10000 or fewer",
        ),
        (GenerationRequest { negative_prompt: Some(long), ..good.clone() }, "negative_prompt \"é"),
        (GenerationRequest { width: Some(0), ..good.clone() }, "width 0: give 8 to 128 pixels"),
        (
            GenerationRequest { width: Some(7), ..good.clone() },
            "width 7: not a multiple of 8; the nearest one is 8",
        ),
        (
            GenerationRequest { width: Some(61), ..good.clone() },
            "width 61: not a multiple of 8; the nearest one is 64",
        ),
        (
            GenerationRequest { height: Some(u32::MAX), ..good.clone() },
            "height 4294967295: give 8 to 128 pixels",
        ),
        (
            GenerationRequest { num_inference_steps: Some(0), ..good.clone() },
            "num_inference_steps 0: give 1 to 1000",
        ),
        (
            GenerationRequest { num_inference_steps: Some(1_000_000), ..good.clone() },
            "num_inference_steps 1000000: give 1 to 1000",
        ),
        (
            GenerationRequest { guidance_scale: Some(f64::NAN), ..good.clone() },
            "guidance_scale NaN: give a number from 0 to 1000",
        ),
        (
            GenerationRequest { guidance_scale: Some(f64::INFINITY), ..good.clone() },
            "guidance_scale inf",
        ),
        (
            GenerationRequest { guidance_interval: Some([0.0, 1.5]), ..good.clone() },
            "guidance_interval [0, 1.5]: give two shares of the run, 0 to 1, the smaller first",
        ),
        (
            GenerationRequest { guidance_interval: Some([0.8, 0.2]), ..good.clone() },
            "guidance_interval [0.8, 0.2]: give two shares of the run, 0 to 1, the smaller first",
        ),
        (
            GenerationRequest { guidance_interval: Some([f64::NAN, 1.0]), ..good.clone() },
            "guidance_interval [NaN, 1]: give two shares of the run",
        ),
        (
            GenerationRequest { eta: Some(-1.0), ..good.clone() },
            "eta -1: give a number from 0 to 1",
        ),
        (
            GenerationRequest { sigmas: Some(vec![1e300, 1.0]), ..good.clone() },
            "give numbers from 0 to 100000",
        ),
        (
            GenerationRequest { timesteps: Some(vec![5000.0, 1.0]), ..good.clone() },
            "timesteps 5000: give numbers from 0 to 1000",
        ),
        (
            GenerationRequest {
                timesteps: Some(vec![9.0]),
                sigmas: Some(vec![9.0]),
                ..good.clone()
            },
            "timesteps given: sigmas are given too; give one of them",
        ),
        (GenerationRequest { clip_skip: Some(1), ..good.clone() }, "clip_skip 1: "),
        (
            GenerationRequest {
                scheduler: spec("ddpm:variance_type=learned_range"),
                ..good.clone()
            },
            "it takes the variance that a model predicts, and this one predicts none",
        ),
        (
            GenerationRequest { scheduler: spec("euler:beta_end=nonsense"), ..good.clone() },
            "scheduler euler:beta_end=nonsense: ",
        ),
    ];
    for (request, message) in cases {
        let refused = pipeline.check(&request).unwrap_err().to_string();
        assert!(refused.contains(message), "{refused}");
        let error = pipeline.start(&request, 0, &Interrupt::new()).err();
        assert!(matches!(error, Some(Error::Invalid(_))), "{error:?}");
    }
    // And it still works.
    support::generate(pipeline.as_mut(), &good, 0).unwrap();
}

#[test]
fn the_description_says_what_can_be_asked_for() {
    let pipeline = support::load(&support::emoji()).unwrap();
    let description = serde_json::to_value(pipeline.description().as_ref()).unwrap();
    assert_eq!(description["family"], "stable-diffusion");
    let tasks = ["text-to-image", "image-to-image", "inpainting"];
    assert_eq!(description["tasks"], serde_json::json!(tasks));
    assert_eq!(description["default_width"], 64);
    assert_eq!(description["size_factor"], 8);
    assert_eq!(description["latent_channels"], 12);
    assert_eq!(description["max_prompt_tokens"], 24);
    assert_eq!(description["scheduler"], "DPMSolverMultistepScheduler");
    let digest = description["digest"].as_str().unwrap();
    assert_eq!(digest.strip_prefix("sha256:").map(str::len), Some(64), "{digest}");
    assert!(description["weight_bytes"].as_u64().unwrap() > 1_000_000);
}

fn grey(width: u32, height: u32) -> Option<Input> {
    let rgb = vec![128; (width * height * 3) as usize];
    Some(support::png(&Image::new(width, height, rgb).unwrap()))
}

fn numbers(shape: &[usize], count: usize) -> Option<Input> {
    Some(support::numbers(shape, &vec![0.0; count]))
}

fn refused(model: &str, requests: Vec<(GenerationRequest, &str)>) {
    let mut pipeline = support::load(&support::repository().join(model)).unwrap();
    for (request, message) in requests {
        let refused = pipeline.check(&request).unwrap_err().to_string();
        assert!(refused.contains(message), "{model}: {refused}");
        let error = pipeline.start(&request, 0, &Interrupt::new()).err();
        assert!(matches!(error, Some(Error::Invalid(_))), "{error:?}");
    }
}

#[test]
fn pictures_that_do_not_fit_are_refused_by_name() {
    let good = GenerationRequest {
        prompt: "x".into(),
        image: grey(64, 64),
        ..GenerationRequest::default()
    };
    refused(
        "models/emoji",
        vec![
            (
                GenerationRequest { strength: Some(0.0), ..good.clone() },
                "strength 0: give a number above",
            ),
            (
                GenerationRequest { strength: Some(1.5), ..good.clone() },
                "strength 1.5: give a number",
            ),
            (
                GenerationRequest { strength: Some(f64::NAN), ..good.clone() },
                "strength NaN: give a",
            ),
            (GenerationRequest { strength: Some(0.01), ..good.clone() }, "leaves no step to take"),
            (
                GenerationRequest { strength: Some(0.5), image: None, ..good.clone() },
                "strength 0.5: there",
            ),
            (
                GenerationRequest { mask_image: grey(64, 64), image: None, ..good.clone() },
                "mask_image given: there is no image",
            ),
            (
                GenerationRequest { image: grey(4000, 64), ..good.clone() },
                "width 4000: give 8 to 128",
            ),
            (
                GenerationRequest { latents: numbers(&[], 7), image: None, ..good.clone() },
                "latents of 7 numbers: give 12 x 16 x 16 for 64x64",
            ),
            (
                GenerationRequest { prompt_2: Some("y".into()), ..good },
                "prompt_2 \"y\": stable-diffusion",
            ),
        ],
    );
    let good = GenerationRequest { prompt: "x".into(), ..GenerationRequest::default() };
    refused(
        "tests/models/tiny-inpaint",
        vec![
            (good.clone(), "image none: this model does inpainting"),
            (
                GenerationRequest { image: grey(32, 32), ..good.clone() },
                "mask_image none: this model",
            ),
        ],
    );
    refused("tests/models/tiny-sdxl-refiner", vec![(good, "give an image")]);
}

#[test]
fn schedules_that_do_not_fit_the_family_are_refused() {
    let spec = |text: &str| Some(text.to_owned());
    let good = GenerationRequest { prompt: "x".into(), ..GenerationRequest::default() };
    for model in ["tests/models/tiny-flux-dev", "tests/models/tiny-sd3"] {
        refused(
            model,
            vec![
                (
                    GenerationRequest { scheduler: spec("euler"), ..good.clone() },
                    "scheduler euler: this model is trained for flow matching; use flow_euler",
                ),
                (
                    GenerationRequest { sigmas: Some(vec![0.2, 0.8]), ..good.clone() },
                    "sigmas [0.2, 0.8]: ",
                ),
                (
                    GenerationRequest { max_sequence_length: Some(513), ..good.clone() },
                    "max_sequence_length 513: give 1 to 512",
                ),
            ],
        );
    }
    refused(
        "tests/models/tiny-flux-dev",
        vec![
            (
                GenerationRequest { scheduler: spec("flow_heun"), ..good.clone() },
                "this one takes none; use flow_euler, or leave it out",
            ),
            (
                GenerationRequest { scheduler: spec("euler"), ..good.clone() },
                "flow matching; use flow_euler, or leave it out",
            ),
        ],
    );
    refused(
        "models/emoji",
        vec![(
            GenerationRequest { scheduler: spec("flow_euler"), ..good },
            "is for flow-matching models",
        )],
    );
    let plain = GenerationRequest::default();
    refused(
        "tests/models/tiny-consistency",
        vec![
            (plain.clone(), "class_labels none: say which class to show, 0 to 9"),
            (
                GenerationRequest { class_labels: Some(10), ..plain.clone() },
                "class_labels 10: give 0 to 9",
            ),
            (
                GenerationRequest { class_labels: Some(1), prompt: "x".into(), ..plain.clone() },
                "prompt \"x\": this model knows no words",
            ),
            (
                GenerationRequest { class_labels: Some(1), scheduler: spec("ddim"), ..plain },
                "this is a consistency model",
            ),
        ],
    );
}

#[test]
fn a_scheduler_that_is_for_other_models_is_doubted() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let asked = |name: &str| {
        let scheduler = Some(name.to_owned());
        GenerationRequest { scheduler, ..support::red_heart(1) }
    };
    for (name, doubted) in [("edm_euler", true), ("cosine", true), ("euler", false)] {
        let output = support::generate(pipeline.as_mut(), &asked(name), 0).unwrap();
        let about_edm = |warning: &String| warning.contains("is for models trained with EDM");
        assert_eq!(output.warnings.iter().any(about_edm), doubted, "{:?}", output.warnings);
    }
}

/// Pictures of empty prompts are compared with diffusers' in `vectors` and `families`.
#[test]
fn an_empty_prompt_is_a_prompt_and_the_second_alone_will_do() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let empty = |prompt: &str, image| GenerationRequest {
        prompt: prompt.to_owned(),
        image,
        num_inference_steps: Some(2),
        ..GenerationRequest::default()
    };
    for request in [empty("", None), empty("  ", None), empty("", grey(64, 64))] {
        let output = support::generate(pipeline.as_mut(), &request, 0).unwrap();
        assert_eq!(output.warnings, [""; 0]);
    }
    for model in ["tiny-sdxl", "tiny-sd3", "tiny-flux-dev"] {
        let mut pipeline =
            support::load(&support::repository().join("tests/models").join(model)).unwrap();
        let mut drawn = |prompt_2: Option<&str>| {
            let prompt_2 = prompt_2.map(str::to_owned);
            let size = Some(32);
            let request =
                GenerationRequest { prompt_2, width: size, height: size, ..empty("", None) };
            support::generate(pipeline.as_mut(), &request, 0).unwrap().media
        };
        let nothing = drawn(None);
        assert_ne!(drawn(Some("red heart")), nothing, "{model}");
        assert_eq!(drawn(Some("")), nothing, "{model}");
    }
}
