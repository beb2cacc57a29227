//! Requests that can't be met say so before any compute, naming field, value and remedy.

use hearth_inference::pipelines::{Error, Generation};
use hearth_inference::schedulers::SchedulerSpec;
use hearth_inference::session::Interrupt;

use super::support;

#[test]
fn each_bad_field_is_named_with_its_value_and_remedy() {
    let mut pipeline = support::load(&support::emoji()).unwrap();
    let good = support::red_heart(2);
    let long = "é".repeat(10_001);
    let spec = |text| Some(SchedulerSpec::parse(text).unwrap());
    let cases: Vec<(Generation, &str)> = vec![
        (Generation { prompt: " ".into(), ..good.clone() }, "prompt \" \": say what to show"),
        (
            Generation { prompt: long.clone(), ..good.clone() },
            "10001 characters; shorten it to 10000 or fewer",
        ),
        (Generation { negative_prompt: Some(long), ..good.clone() }, "negative_prompt \"é"),
        (Generation { width: Some(0), ..good.clone() }, "width 0: give 8 to 128 pixels"),
        (
            Generation { width: Some(7), ..good.clone() },
            "width 7: not a multiple of 8; the nearest one is 8",
        ),
        (
            Generation { width: Some(61), ..good.clone() },
            "width 61: not a multiple of 8; the nearest one is 64",
        ),
        (
            Generation { height: Some(u32::MAX), ..good.clone() },
            "height 4294967295: give 8 to 128 pixels",
        ),
        (
            Generation { num_inference_steps: Some(0), ..good.clone() },
            "num_inference_steps 0: give 1 to 1000",
        ),
        (
            Generation { num_inference_steps: Some(1_000_000), ..good.clone() },
            "num_inference_steps 1000000: give 1 to 1000",
        ),
        (
            Generation { guidance_scale: Some(f32::NAN), ..good.clone() },
            "guidance_scale NaN: give a number from 0 to 1000",
        ),
        (Generation { guidance_scale: Some(f32::INFINITY), ..good.clone() }, "guidance_scale inf"),
        (Generation { eta: Some(-1.0), ..good.clone() }, "eta -1: give a number from 0 to 1"),
        (Generation { clip_skip: Some(1), ..good.clone() }, "clip_skip 1: "),
        (
            Generation { scheduler: spec("euler:beta_end=nonsense"), ..good.clone() },
            "scheduler euler:beta_end=nonsense: ",
        ),
    ];
    for (request, message) in cases {
        let refused = pipeline.description().check(&request).unwrap_err().to_string();
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
