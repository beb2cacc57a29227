//! Model folders that can't be used say which file is at fault and what to do.

use std::fs;
use std::path::Path;

use super::support::{Drive as _, copy_of, emoji, load, refusal, truncate};

#[test]
fn a_truncated_model_names_its_file() {
    for part in ["text_encoder", "unet", "vae_decoder"] {
        let folder = copy_of(&emoji());
        truncate(&folder.path().join(part).join("model.onnx"));
        let message = refusal(folder.path());
        assert!(message.contains(&format!("{part}/model.onnx: truncated")), "{message}");
        assert!(message.contains("copy or export it again"), "{message}");
    }
}

#[test]
fn a_missing_part_is_named() {
    for file in [
        "text_encoder/model.onnx",
        "unet/model.onnx",
        "unet/config.json",
        "vae_decoder/model.onnx",
        "vae_decoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer",
    ] {
        let folder = copy_of(&emoji());
        let path = folder.path().join(file);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        let message = refusal(folder.path());
        assert!(message.contains(&format!("lacks {file}")), "{message}");
    }
    let folder = copy_of(&emoji());
    fs::remove_file(folder.path().join("tokenizer/vocab.json")).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("vocab.json"), "{message}");
}

#[test]
fn pytorch_weights_get_the_export_command() {
    let folder = copy_of(&emoji());
    fs::remove_file(folder.path().join("unet/model.onnx")).unwrap();
    fs::write(folder.path().join("unet/diffusion_pytorch_model.safetensors"), b"").unwrap();
    let path = folder.path().display();
    assert_eq!(
        refusal(folder.path()),
        format!(
            "{path} holds PyTorch weights, not ONNX. \
             Export: optimum-cli export onnx --model {path} {path}-onnx"
        )
    );
}

#[test]
fn of_graphs_that_are_opened_side_by_side_the_first_is_blamed() {
    let folder = copy_of(&emoji());
    // Their headers are right, so that ONNX Runtime is the first to object.
    for component in ["unet", "vae_decoder"] {
        let path = folder.path().join(component).join("model.onnx");
        let mut bytes = fs::read(&path).unwrap();
        let operator = b"\x22\x04Conv";
        let found = |at: &usize| bytes[*at..].starts_with(operator);
        let places: Vec<_> = (0..bytes.len() - operator.len()).filter(found).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at + 3] = b'x');
        fs::write(path, bytes).unwrap();
    }
    let first = refusal(folder.path());
    assert!(first.contains("unet") && !first.contains("vae_decoder"), "{first}");
    assert!((0..10).all(|_| refusal(folder.path()) == first));
}

#[test]
fn other_things_than_exports_are_told_apart() {
    assert!(refusal(Path::new("/nonexistent")).contains("/nonexistent doesn't exist"));
    let file = emoji().join("model_index.json");
    assert!(refusal(&file).contains("is a file"));
    let empty = tempfile::tempdir().unwrap();
    assert!(refusal(empty.path()).contains("model_index.json is missing"));
    fs::write(empty.path().join("model_index.json"), "{\"_class_name\": \"WanPipeline\"}").unwrap();
    let message = refusal(empty.path());
    assert!(message.contains("WanPipeline is not supported yet; known: StableDiffusion"));
    fs::write(empty.path().join("model_index.json"), "{").unwrap();
    assert!(
        refusal(empty.path()).contains("model_index.json can't be parsed; mend or restore it: EOF")
    );
}

#[test]
fn a_flipped_byte_is_refused_by_the_manifest() {
    let folder = copy_of(&emoji());
    fs::copy(emoji().join("manifest.json"), folder.path().join("manifest.json")).unwrap();
    assert!(load(folder.path()).is_ok());
    let path = folder.path().join("unet/model.onnx");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("unet/model.onnx: SHA-256"), "{message}");
}

#[test]
fn a_file_that_the_manifest_leaves_out_is_refused() {
    let folder = copy_of(&emoji());
    fs::copy(emoji().join("manifest.json"), folder.path().join("manifest.json")).unwrap();
    fs::write(folder.path().join("unet/extra.json"), "{}").unwrap();
    assert!(refusal(folder.path()).contains("unet/extra.json: not listed in manifest.json"));
}

#[test]
fn defaults_come_from_the_folder_and_unknown_ones_are_refused() {
    let folder = copy_of(&emoji());
    let own = folder.path().join("hearth.json");
    fs::write(&own, "{\"num_inference_steps\": 7, \"guidance_scale\": 2.5, \"max_size\": 96}")
        .unwrap();
    let pipeline = load(folder.path()).unwrap();
    let description = pipeline.pictures();
    assert_eq!(description.default_steps, 7);
    assert_eq!(description.default_guidance_scale, 2.5);
    assert_eq!(description.max_size, 96);
    fs::write(&own, "{\"steps\": 7}").unwrap();
    let message = refusal(folder.path());
    assert!(
        message.contains("hearth.json can't be parsed; mend or restore it: steps: there is no key"),
        "{message}"
    );
}

#[test]
fn the_digest_is_that_of_what_makes_the_picture() {
    let folder = copy_of(&emoji());
    let digest = |path: &Path| load(path).unwrap().description().digest.clone();
    let first = digest(folder.path());
    assert_eq!(first, digest(&emoji()), "with and without a manifest");
    fs::write(folder.path().join("README.md"), "another card").unwrap();
    assert_eq!(first, digest(folder.path()));
    let config = folder.path().join("vae_decoder/config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "\n").unwrap();
    assert_ne!(first, digest(folder.path()));
}

#[test]
fn parts_that_do_not_fit_each_other_are_refused() {
    let folder = copy_of(&emoji());
    let config = folder.path().join("unet/config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"in_channels\": 12", "\"in_channels\": 9")).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("unet/config.json: in_channels 9 is not the decoder"), "{message}");
    fs::write(&config, text).unwrap();

    let unet = folder.path().join("unet/model.onnx");
    fs::copy(folder.path().join("vae_decoder/model.onnx"), unet).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("unet: the graph asks for input latent_sample"), "{message}");
}
