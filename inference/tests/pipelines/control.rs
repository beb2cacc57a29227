//! ControlNets: what is refused, and what doesn't depend on what ran before. That their pictures are
//! diffusers' own is shown in `families`.

use std::fs;
use std::path::PathBuf;

use hearth_api::GenerationRequest;
use hearth_api::request::Input;
use hearth_inference::model::{Error, Model};
use hearth_inference::session::Interrupt;
use hearth_media::{Image, Media};

use super::support::{self, Drive as _};
use super::surgery;

fn folder() -> PathBuf {
    support::repository().join("tests/models/tiny-controlnet")
}

fn picture(grey: u8) -> Input {
    let rgb = (0..32 * 32 * 3).map(|at| if at % 7 < 3 { grey } else { 255 - grey }).collect();
    support::png(&Image::new(32, 32, rgb).unwrap())
}

fn steered() -> GenerationRequest {
    GenerationRequest { control_image: vec![picture(0), picture(90)], ..support::red_heart(4) }
}

#[test]
fn what_does_not_fit_the_controlnets_is_refused_by_name() {
    let mut pipeline = support::load(&folder()).unwrap();
    let description = pipeline.pictures();
    assert_eq!(description.controlnets, ["controlnet", "controlnet_1"]);
    assert!(description.fields.contains(&"control_image"));
    let good = steered();
    let scale = |list: &[f64]| GenerationRequest {
        controlnet_conditioning_scale: list.to_vec(),
        ..good.clone()
    };
    let span = |start: &[f64], end: &[f64]| GenerationRequest {
        control_guidance_start: start.to_vec(),
        control_guidance_end: end.to_vec(),
        ..good.clone()
    };
    let cases = [
        (
            GenerationRequest { control_image: vec![picture(0)], ..good.clone() },
            "control_image of 1: give 2, one for each ControlNet in this order: controlnet, controlnet_1",
        ),
        (
            GenerationRequest { control_image: Vec::new(), ..scale(&[0.5]) },
            "controlnet_conditioning_scale [0.5]: there is no control_image; give one",
        ),
        (
            GenerationRequest { control_image: Vec::new(), guess_mode: Some(true), ..good.clone() },
            "guess_mode true: there is no control_image",
        ),
        (scale(&[0.5; 3]), "[0.5, 0.5, 0.5]: give one number, or 2: one for each ControlNet"),
        (scale(&[f64::NAN]), "controlnet_conditioning_scale [NaN]: give numbers from 0 to 10"),
        (scale(&[1.0, -0.1]), "controlnet_conditioning_scale [1.0, -0.1]: give numbers from 0"),
        (span(&[-0.1], &[]), "control_guidance_start [-0.1]: give numbers from 0 to 1"),
        (span(&[], &[1.1]), "control_guidance_end [1.1]: give numbers from 0 to 1"),
        (span(&[0.0, 0.6], &[0.5]), "control_guidance_start 0.6: it must be below control_guida"),
    ];
    for (request, message) in cases {
        let refused = pipeline.check(&request).unwrap_err().to_string();
        assert!(refused.contains(message), "{refused}");
        let error = pipeline.start(&request, 0, &Interrupt::new()).err();
        assert!(matches!(error, Some(Error::Invalid(_))), "{error:?}");
    }
    let plain = support::load(&support::emoji()).unwrap();
    let refused = plain.check(&good).unwrap_err().to_string();
    assert!(refused.contains("control_image of 32x32, of 32x32: this model has no ControlNet"));
    assert!(!plain.pictures().fields.contains(&"control_image"));
}

/// Memory is shared between graphs, and stays theirs from request to request: of other sizes, with
/// and without guidance, with some ControlNets or none.
#[test]
fn pictures_do_not_depend_on_what_ran_before() {
    let other = |request: GenerationRequest, second: f64| GenerationRequest {
        controlnet_conditioning_scale: vec![1.0, second],
        ..request
    };
    let requests = [
        steered(),
        support::red_heart(4),
        GenerationRequest { guidance_scale: Some(1.0), ..steered() },
        GenerationRequest { width: Some(48), height: Some(32), ..steered() },
        other(steered(), 0.0),
        GenerationRequest { control_guidance_start: vec![0.5, 0.0], ..steered() },
        GenerationRequest { control_image: vec![picture(200), picture(0)], ..steered() },
        GenerationRequest { guess_mode: Some(true), ..steered() },
    ];
    let made = |pipeline: &mut dyn Model, request: &GenerationRequest| -> Media {
        support::generate(pipeline, request, 5).unwrap().media
    };
    let mut pipeline = support::load(&folder()).unwrap();
    let alone = requests.each_ref().map(|request| made(pipeline.as_mut(), request));
    for (index, one) in alone.iter().enumerate() {
        assert!(alone[..index].iter().all(|other| other != one), "{index} is another's picture");
    }
    // The other way round, in another's memory.
    let mut pipeline = support::load(&folder()).unwrap();
    for (request, wanted) in requests.iter().zip(&alone).rev() {
        assert_eq!(made(pipeline.as_mut(), request), *wanted);
    }
    // And a step of each in turn.
    assert_eq!(support::generate_in_turn(pipeline.as_mut(), &requests, 5), alone);
}

#[test]
fn a_folder_whose_controlnets_do_not_fit_says_which_and_why() {
    let copy = || support::copy_of(&folder());
    let refused = |copy: &tempfile::TempDir, message: &str| {
        let refusal = support::refusal(copy.path());
        assert!(refusal.contains(message), "{refusal}");
    };
    // A gap in the numbers, and a graph that isn't there.
    let lacking = copy();
    fs::rename(lacking.path().join("controlnet_1"), lacking.path().join("controlnet_2")).unwrap();
    refused(&lacking, "controlnet_2: there is no controlnet_1");
    let lacking = copy();
    fs::remove_file(lacking.path().join("controlnet_1/model.onnx")).unwrap();
    refused(&lacking, "controlnet_1/model.onnx");
    // More than there may be.
    let many = copy();
    (2..9).for_each(|net| fs::create_dir(many.path().join(format!("controlnet_{net}"))).unwrap());
    refused(&many, "controlnet_8: there are 8 before it; ControlNets are controlnet, controlnet_1");
    // A picture of one size.
    let fixed = copy();
    surgery::fix_size(&fixed.path().join("controlnet/model.onnx"), "controlnet_cond", [32, 32]);
    refused(
        &fixed,
        "controlnet_cond float32 [1, 3, 32, 32] must be [1,3,H,W], its rows and columns",
    );
    // A UNet that takes no residuals, and a second ControlNet that takes none.
    let plain = copy();
    let inpaint = support::repository().join("tests/models/tiny-lcm/unet/model.onnx");
    fs::copy(inpaint, plain.path().join("unet/model.onnx")).unwrap();
    refused(&plain, "the denoiser's graph takes no residuals");
    let twice = copy();
    let graph = |part: &str| twice.path().join(part).join("model.onnx");
    fs::copy(graph("controlnet"), graph("controlnet_1")).unwrap();
    refused(&twice, "controlnet_1: the graph takes no residuals");
    // Another model's ControlNet.
    let other = copy();
    let config = other.path().join("controlnet/config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"layers_per_block\": 1", "\"layers_per_block\": 2")).unwrap();
    refused(&other, "controlnet/config.json: its blocks give 7 residuals, the denoiser takes 5");
    fs::write(&config, text.replace("\"in_channels\": 4", "\"in_channels\": 9")).unwrap();
    refused(&other, "controlnet/config.json: in_channels is 9, the latents have 4");
}

#[test]
fn controlnets_of_another_kind_are_refused_with_a_reason() {
    let copy = support::copy_of(&folder());
    let replace = |file: &str, from: &str, to: &str| {
        let path = copy.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    };
    let refused = |parts: &[&str]| {
        let refusal = support::refusal(copy.path());
        for part in parts {
            assert!(refusal.contains(part), "{part:?} is not in {refusal}");
        }
    };
    let net = "controlnet/config.json";
    replace(net, "\"ControlNetModel\"", "\"ControlNetUnionModel\"");
    refused(&[
        net,
        "ControlNetUnionModel",
        "control_mode",
        "one for each kind",
        "export.controlnet",
    ]);
    replace(net, "\"ControlNetUnionModel\"", "\"ControlNetXSAdapter\"");
    refused(&[net, "ControlNetXSAdapter, which is not supported", "ControlNetModel in its place"]);
    let index = "model_index.json";
    let class = "\"StableDiffusionControlNetPipeline\"";
    replace(index, class, "\"StableDiffusionXLControlNetUnionPipeline\"");
    refused(&["StableDiffusionXLControlNetUnionPipeline", "control_mode", "export.controlnet"]);
    replace(index, "StableDiffusionXLControlNetUnionPipeline", "FluxControlNetPipeline");
    refused(&["FluxControlNetPipeline", "ControlNets go with Stable Diffusion 1.x, 2.x and XL"]);
}
