//! Half-precision folders, with weights in the graph and in files beside it.

use std::fs;
use std::path::{Path, PathBuf};

use hearth_api::GenerationRequest;
use hearth_inference::LoadOptions;
use hearth_inference::blueprint::folder::{TilingThreshold, VaeTiling};
use hearth_inference::model::{self, Error};
use hearth_inference::session::Interrupt;
use hearth_media::Media;

use super::support::{self, Drive as _, copy_of, load, red_heart, refusal, truncate};
use super::surgery::{self, FLOAT, FLOAT16, INT32, INT64};

fn full() -> PathBuf {
    support::repository().join("tests/models/tiny-sd")
}

fn half() -> PathBuf {
    support::repository().join("tests/models/tiny-sd-f16")
}

#[test]
fn the_picture_is_that_of_single_precision_but_for_rounding() {
    let picture = |folder| {
        let mut pipeline = load(folder).unwrap();
        support::generate(pipeline.as_mut(), &red_heart(10), 42).unwrap().media
    };
    let (Media::Image(full), Media::Image(half)) = (picture(&full()), picture(&half())) else {
        panic!("no pictures");
    };
    let near = support::psnr(&full.rgb, &half.rgb);
    println!("{near:.1} dB");
    assert!(near > 35.0, "{near} dB");
    assert_ne!(full.rgb, half.rgb, "half precision was not used");
}

#[test]
fn weights_in_other_files_are_counted_and_checked() {
    let length = |file: &str| fs::metadata(half().join(file)).map_or(0, |data| data.len());
    let bytes: u64 = ["text_encoder", "unet", "vae_decoder"]
        .map(|part| {
            length(&format!("{part}/model.onnx")) + length(&format!("{part}/model.onnx_data"))
        })
        .iter()
        .sum();
    assert_eq!(load(&half()).unwrap().description().weight_bytes, bytes);

    let folder = copy_of(&half());
    let data = folder.path().join("vae_decoder/model.onnx_data");
    truncate(&data);
    let message = refusal(folder.path());
    assert!(message.contains("vae_decoder/model.onnx_data: truncated"), "{message}");
    fs::remove_file(&data).unwrap();
    assert!(refusal(folder.path()).contains("model.onnx_data can't be read"));
}

#[test]
fn a_flipped_bit_of_external_weights_changes_the_digest_and_is_refused_by_the_manifest() {
    let folder = copy_of(&half());
    let digest = load(folder.path()).unwrap().description().digest.clone();
    fs::copy(half().join("manifest.json"), folder.path().join("manifest.json")).unwrap();
    assert_eq!(load(folder.path()).unwrap().description().digest, digest);

    let data = folder.path().join("text_encoder/model.onnx_data");
    let mut bytes = fs::read(&data).unwrap();
    bytes[1000] ^= 1;
    fs::write(&data, bytes).unwrap();
    assert!(refusal(folder.path()).contains("text_encoder/model.onnx_data: SHA-256"));
    fs::remove_file(folder.path().join("manifest.json")).unwrap();
    assert_ne!(load(folder.path()).unwrap().description().digest, digest);
}

/// A copy of the folder of which the decoder's input is multiplied by much.
fn loud(scaling_factor: &str, half: bool) -> tempfile::TempDir {
    let folder = copy_of(&full());
    let config = folder.path().join("vae_decoder/config.json");
    let text = fs::read_to_string(&config).unwrap();
    let loud =
        text.replace("\"scaling_factor\": 0.4", &format!("\"scaling_factor\": {scaling_factor}"));
    assert_ne!(text, loud);
    fs::write(&config, loud).unwrap();
    if half {
        let decoder = support::repository().join("tests/models/vae-f16.onnx");
        fs::copy(decoder, folder.path().join("vae_decoder/model.onnx")).unwrap();
    }
    folder
}

/// Whole, and in tiles.
fn tilings() -> [LoadOptions; 2] {
    let above = Some(TilingThreshold::Size([32, 32]));
    let vae_tiling = VaeTiling { above, tile: Some(32), overlap: None };
    [LoadOptions::default(), LoadOptions { vae_tiling, ..LoadOptions::default() }]
}

/// A decoder whose input is beyond what half precision holds. It gives no numbers, until the same
/// graph runs in single precision: no black picture, and no error either.
#[test]
fn a_decoder_that_overflows_runs_again_in_single_precision() {
    let request = GenerationRequest { width: Some(64), height: Some(48), ..red_heart(3) };
    for options in tilings() {
        let picture = |folder: &Path| {
            let mut pipeline =
                hearth_inference::load(&support::runtime(), folder, &options).unwrap();
            let interrupt = Interrupt::new();
            let mut pictures = Vec::new();
            for preview in [false, true] {
                let mut state = pipeline.start(&request, 42, &interrupt).unwrap();
                while !state.is_done() {
                    pipeline.step(&mut [&mut state], &interrupt).unwrap();
                    if preview {
                        assert!(pipeline.preview(&state, &interrupt).unwrap().is_some());
                    }
                }
                let output = pipeline.finish(state, &interrupt).unwrap();
                let Media::Image(image) = output.media else { panic!("no picture") };
                pictures.push(image.rgb);
            }
            assert_eq!(pictures[0], pictures[1], "previews change nothing");
            pictures.remove(0)
        };
        let near = support::psnr(
            &picture(loud("0.00001", false).path()),
            &picture(loud("0.00001", true).path()),
        );
        println!("{near:.1} dB");
        assert!(near > 30.0, "{near} dB");
    }
}

/// Beyond what single precision holds there is nothing to try.
#[test]
fn what_overflows_in_single_precision_is_an_error_and_no_preview() {
    let request = GenerationRequest { width: Some(64), height: Some(48), ..red_heart(2) };
    for half in [false, true] {
        let folder = loud("1e-37", half);
        for options in tilings() {
            let mut pipeline =
                hearth_inference::load(&support::runtime(), folder.path(), &options).unwrap();
            let interrupt = Interrupt::new();
            for _ in 0..2 {
                let mut state = pipeline.start(&request, 1, &interrupt).unwrap();
                for _ in 0..2 {
                    pipeline.step(&mut [&mut state], &interrupt).unwrap();
                }
                assert!(pipeline.preview(&state, &interrupt).unwrap().is_none());
                let error = pipeline.finish(state, &interrupt).unwrap_err();
                let of_decoder = |graph: &str| graph == "vae_decoder";
                assert!(
                    matches!(&error, Error::NotANumber { graph, .. } if of_decoder(graph)),
                    "{error}"
                );
                assert!(error.to_string().contains("export it in float32"), "{error}");
            }
        }
    }
}

/// The part that gives no numbers is named when it does, before anything else is computed from them.
#[test]
fn what_overflows_is_named_at_the_first_step_that_has_it() {
    let failure = |folder: &Path, request: &GenerationRequest| {
        let mut pipeline = load(folder).unwrap();
        let interrupt = Interrupt::new();
        let mut state = match pipeline.start(request, 1, &interrupt) {
            Ok(state) => state,
            Err(error) => return (0, error.to_string()),
        };
        loop {
            let steps = state.step_index();
            if let Err(error) = pipeline.step(&mut [&mut state], &interrupt) {
                return (steps, error.to_string());
            }
            assert!(!state.is_done(), "all steps were taken");
        }
    };
    let loud = |model: &str, component: &str, output: &str, factor: f32| {
        let folder = copy_of(&support::repository().join("tests/models").join(model));
        surgery::multiply(&folder.path().join(component).join("model.onnx"), output, factor);
        folder
    };
    let image = || support::striped();
    let steered = GenerationRequest { control_image: vec![image(), image()], ..red_heart(4) };
    for (model, component, output, request) in [
        ("tiny-sd", "text_encoder", "last_hidden_state", red_heart(4)),
        ("tiny-sdxl", "text_encoder_2", "text_embeds", red_heart(4)),
        ("tiny-sd3", "text_encoder_3", "last_hidden_state", red_heart(4)),
        ("tiny-sd", "unet", "out_sample", red_heart(4)),
        ("tiny-controlnet", "controlnet_1", "mid_block_res_sample", steered),
    ] {
        let folder = loud(model, component, output, f32::INFINITY);
        let (steps, said) = failure(folder.path(), &request);
        assert_eq!(steps, 0, "{model} {component}: {said}");
        assert!(
            said.starts_with(&format!("{component} gave values that aren't numbers")),
            "{said}"
        );
        assert!(said.ends_with("it overflows; export it in float32"), "{said}");
    }
    let folder = loud("tiny-sd", "unet", "out_sample", f32::INFINITY);
    let (_, said) = failure(folder.path(), &red_heart(4));
    assert!(said.contains(" at step 1 of 4: "), "{said}");
    // So it is noticed before the model is announced.
    let mut model = load(folder.path()).unwrap();
    let warm = model::warm_up(model.as_mut(), &Interrupt::new()).unwrap_err().to_string();
    assert!(warm.starts_with("unet gave values"), "{warm}");

    // Numbers that are too large for what is made of them.
    let folder = loud("tiny-sd", "unet", "out_sample", 1.5e38);
    let (_, said) = failure(folder.path(), &red_heart(4));
    assert!(said.contains("the latents aren't numbers after step 1 of 4"), "{said}");
}

/// Exporters have given these inputs other element types over the years.
#[test]
fn inputs_are_cast_to_what_the_graph_asks_for() {
    let picture = |folder: &Path, request: &GenerationRequest| {
        support::generate(load(folder).unwrap().as_mut(), request, 3).unwrap().media
    };
    // Timesteps without fractions: those fit whole numbers too.
    let words = red_heart(2);
    let wordless =
        GenerationRequest { num_inference_steps: Some(2), ..GenerationRequest::default() };
    for (model, part, input, from, request, kinds) in [
        ("tiny-sd", "text_encoder", "input_ids", INT64, &words, &[INT32][..]),
        ("tiny-sd", "unet", "timestep", FLOAT, &words, &[INT64, INT32, FLOAT16]),
        ("tiny-ddpm", "unet", "timestep", FLOAT, &wordless, &[INT64, INT32, FLOAT16]),
        ("tiny-sdxl", "unet", "time_ids", FLOAT, &words, &[FLOAT16]),
        ("tiny-flux-schnell", "transformer", "img_ids", INT64, &words, &[INT32, FLOAT]),
    ] {
        let original = support::repository().join("tests/models").join(model);
        let small = GenerationRequest { width: Some(32), height: Some(32), ..request.clone() };
        let request = if model.contains("flux") { &small } else { request };
        let wanted = picture(&original, request);
        for &kind in kinds {
            let folder = copy_of(&original);
            let graph = folder.path().join(part).join("model.onnx");
            surgery::retype(&graph, input, from, kind);
            assert_eq!(picture(folder.path(), request), wanted, "{model}, {input} of type {kind}");
        }
    }
}
