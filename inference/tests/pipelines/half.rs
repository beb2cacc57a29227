//! Half-precision folders, with weights in the graph and in files beside it.

use std::fs;
use std::path::PathBuf;

use hearth_media::Media;

use super::support::{self, copy_of, load, red_heart, refusal, truncate};

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

/// A decoder whose input is beyond what half precision holds. It gives no numbers, until the same
/// graph runs in single precision: no black picture, and no error either.
#[test]
fn a_decoder_that_overflows_runs_again_in_single_precision() {
    let inside = support::repository().join("tests/models/vae-f16.onnx");
    let scaled = |folder: &std::path::Path| {
        let config = folder.join("vae_decoder/config.json");
        let text = fs::read_to_string(&config).unwrap();
        let tiny = text.replace("\"scaling_factor\": 0.4", "\"scaling_factor\": 0.00001");
        assert_ne!(text, tiny);
        fs::write(&config, tiny).unwrap();
    };
    let picture = |folder: &std::path::Path| {
        let mut pipeline = load(folder).unwrap();
        let made = || support::generate(pipeline.as_mut(), &red_heart(3), 42);
        let outputs: Vec<_> = std::iter::repeat_with(made).take(2).map(Result::unwrap).collect();
        assert_eq!(outputs[0].media, outputs[1].media);
        let Media::Image(image) = &outputs[0].media else { panic!("no picture") };
        image.rgb.clone()
    };
    let (single, half) = (copy_of(&full()), copy_of(&full()));
    scaled(single.path());
    scaled(half.path());
    fs::copy(inside, half.path().join("vae_decoder/model.onnx")).unwrap();
    let near = support::psnr(&picture(single.path()), &picture(half.path()));
    println!("{near:.1} dB");
    assert!(near > 30.0, "{near} dB");
}
