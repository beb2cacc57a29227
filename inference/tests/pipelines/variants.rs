//! Components in the forms that other programs, other versions and people give them.

use std::fs;
use std::path::Path;

use hearth_api::GenerationRequest;
use hearth_api::tensor::Dtype;
use hearth_inference::session::{Interrupt, RawInput};
use hearth_media::Media;
use serde_json::{Value, json};

use super::support::{
    Drive as _, copy_of, edit, generate, load, look, numbers as numbers_of, psnr, red_heart,
    repository, striped,
};
use super::surgery::{self, FLOAT, INT64};

/// The mean of a distribution, and an `AutoencoderTiny`'s latents, whatever they are called: nothing
/// is drawn for them, so that the picture is the one that starts from the same latents.
#[test]
fn an_encoder_that_draws_nothing_gives_the_latents_themselves() {
    let image = striped();
    for output in ["latent_sample", "latents"] {
        let copy = copy_of(&repository().join("tests/models/tiny-sd"));
        let encoder = copy.path().join("vae_encoder/model.onnx");
        let channels: u64 = 8;
        let numbers =
            |name, value: u64| surgery::initializer(name, &[1], INT64, &value.to_le_bytes());
        let slice = ["latent_parameters::own", "from", "to", "axis"];
        let node = surgery::node("Slice", &slice, "latent_parameters", &[]);
        let bounds = [numbers("from", 0), numbers("to", channels), numbers("axis", 1)];
        surgery::after(&encoder, "latent_parameters", &[node], &bounds);
        surgery::rename_output(&encoder, "latent_parameters", output);
        let report = look(copy.path());
        assert!(report.usable && report.warnings.is_empty(), "{report:?}");

        let mut pipeline = load(copy.path()).unwrap();
        let scaling = 0.4;
        let pixels = hearth_media::decode(image.bytes().unwrap()).unwrap();
        let planes: Vec<u8> = (0..3)
            .flat_map(|channel| pixels.rgb.iter().skip(channel).step_by(3))
            .flat_map(|byte| (f32::from(*byte) / 255.0 * 2.0 - 1.0).to_le_bytes())
            .collect();
        let mut graphs = pipeline.graphs();
        let graph = graphs.iter_mut().find(|graph| graph.name() == "vae_encoder").unwrap();
        let shape = [1, 3, 32, 32];
        let input = RawInput { name: "sample", dtype: Dtype::F32, shape: &shape, data: &planes };
        let mut given = graph.infer(&[input], &[], u64::MAX, &Interrupt::new()).unwrap();
        let latents = given.remove(0);
        let scaled: Vec<f32> = latents
            .data
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()) * scaling)
            .collect();
        let size = Some(32);
        let plain = GenerationRequest { width: size, height: size, ..red_heart(4) };
        let of_picture = GenerationRequest { image: Some(image.clone()), ..plain.clone() };
        let of_latents =
            GenerationRequest { image: Some(numbers_of(&latents.shape, &scaled)), ..plain };
        let [a, b] = [of_picture, of_latents].map(|request| {
            match generate(pipeline.as_mut(), &request, 3).unwrap().media {
                Media::Image(image) => image.rgb,
                other => panic!("{other:?}"),
            }
        });
        assert!(psnr(&a, &b) > 60.0, "{}", psnr(&a, &b));
        let mask = Some(striped());
        let filled =
            GenerationRequest { image: Some(image.clone()), mask_image: mask, ..red_heart(2) };
        assert!(generate(pipeline.as_mut(), &filled, 3).is_ok());
    }
}

#[test]
fn an_autoencoder_tiny_has_its_levels_and_its_scaling_under_its_own_names() {
    let picture = |spoil: &dyn Fn(&Path)| {
        let copy = copy_of(&repository().join("tests/models/tiny-sd"));
        spoil(copy.path());
        let mut pipeline = load(copy.path()).unwrap();
        generate(pipeline.as_mut(), &red_heart(2), 1).unwrap().media
    };
    let config = |at: &Path| at.join("vae_decoder/config.json");
    let levels = |at: &Path| {
        let json: Value = serde_json::from_str(&fs::read_to_string(config(at)).unwrap()).unwrap();
        json["block_out_channels"].clone()
    };
    let named = |at: &Path| {
        edit(&at.join("model_index.json"), "vae", json!(["diffusers", "AutoencoderTiny"]));
        let tiny = json!({
            "_class_name": "AutoencoderTiny", "latent_channels": 8,
            "encoder_block_out_channels": levels(at), "decoder_block_out_channels": levels(at),
            "latent_magnitude": 3, "latent_shift": 0.5, "upsampling_scaling_factor": 2,
        });
        fs::write(config(at), tiny.to_string()).unwrap();
    };
    let unscaled = |at: &Path| edit(&config(at), "scaling_factor", 1.0);
    assert_eq!(picture(&named), picture(&unscaled));
}

/// The class of each component is what `model_index.json` names.
#[test]
fn the_index_says_which_scheduler_reads_the_config() {
    let draw = |folder: &Path, scheduler: Option<&str>| {
        let mut pipeline = load(folder).unwrap();
        let scheduler = scheduler.map(str::to_owned);
        let request = GenerationRequest { scheduler, ..red_heart(4) };
        generate(pipeline.as_mut(), &request, 1).unwrap().media
    };
    let plain = repository().join("tests/models/tiny-sd");
    let copy = copy_of(&plain);
    let index = copy.path().join("model_index.json");
    edit(&index, "scheduler", json!(["diffusers", "EulerAncestralDiscreteScheduler"]));
    assert_eq!(draw(copy.path(), None), draw(&plain, Some("EulerAncestralDiscreteScheduler")));
    assert_ne!(draw(copy.path(), None), draw(&plain, None));
    let warnings = look(copy.path()).warnings;
    let named = "names EulerAncestralDiscreteScheduler and scheduler_config.json DDIMScheduler";
    assert!(warnings[0].contains(named), "{warnings:?}");

    // A config that names none is read all the same.
    let copy = copy_of(&plain);
    let config = copy.path().join("scheduler/scheduler_config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"_class_name\"", "\"_was\"")).unwrap();
    assert_eq!(draw(copy.path(), None), draw(&plain, None));
    assert_eq!(look(copy.path()).warnings, [""; 0]);
}

#[test]
fn scheduler_keys_of_other_versions_are_a_warning() {
    let plain = repository().join("tests/models/tiny-sd");
    let draw = |folder: &Path| {
        let mut pipeline = load(folder).unwrap();
        let output = generate(pipeline.as_mut(), &red_heart(2), 1).unwrap();
        (output.media, output.warnings)
    };
    let copy = copy_of(&plain);
    let config = copy.path().join("scheduler/scheduler_config.json");
    for (key, value) in [
        ("tensor_format", json!("pt")),
        ("timestep_values", json!(null)),
        ("predict_epsilon", json!(true)),
        ("a_key_of_next_year", json!(null)),
    ] {
        edit(&config, key, value);
    }
    let report = look(copy.path());
    assert!(report.usable, "{:?}", report.problems);
    assert_eq!(report.warnings.len(), 4, "{:?}", report.warnings);
    assert!(report.warnings[0].contains("`a_key_of_next_year` (value null) is not known"));
    assert_eq!(draw(copy.path()), draw(&plain));
    let pipeline = load(copy.path()).unwrap();
    let scheduler = Some("ddim:tensor_format=pt".to_owned());
    let refused = pipeline.check(&GenerationRequest { scheduler, ..red_heart(2) }).unwrap_err();
    assert!(refused.to_string().contains("`tensor_format` (value \"pt\") is not known"));
}

/// Windows' editors put a byte order mark before what they save.
#[test]
fn byte_order_marks_are_read_over() {
    let plain = repository().join("tests/models/tiny-sd");
    let draw =
        |folder: &Path| generate(load(folder).unwrap().as_mut(), &red_heart(2), 1).unwrap().media;
    let copy = copy_of(&plain);
    fs::write(copy.path().join("hearth.json"), "{}").unwrap();
    for file in [
        "model_index.json",
        "hearth.json",
        "unet/config.json",
        "vae_decoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
    ] {
        let path = copy.path().join(file);
        let marked = [b"\xef\xbb\xbf".as_slice(), &fs::read(&path).unwrap()].concat();
        fs::write(&path, marked).unwrap();
    }
    assert!(look(copy.path()).usable, "{:?}", look(copy.path()).problems);
    assert_eq!(draw(copy.path()), draw(&plain));
}

/// A text encoder's mask: all counts unless its config says otherwise, as in diffusers.
#[test]
fn a_text_encoder_that_takes_an_attention_mask_gets_one() {
    let draw =
        |folder: &Path| generate(load(folder).unwrap().as_mut(), &red_heart(2), 1).unwrap().media;
    let plain = repository().join("tests/models/tiny-sd");
    let copy = copy_of(&plain);
    let encoder = copy.path().join("text_encoder/model.onnx");
    surgery::add_input(&encoder, "input_ids", "attention_mask");
    // Hidden states of what the mask leaves out are zeros.
    let nodes = [
        surgery::node("Cast", &["attention_mask"], "mask", &[surgery::number("to", FLOAT)]),
        surgery::node("Unsqueeze", &["mask", "last"], "column", &[]),
        surgery::node("Mul", &["last_hidden_state::own", "column"], "last_hidden_state", &[]),
    ];
    let last = surgery::initializer("last", &[1], INT64, &2_u64.to_le_bytes());
    surgery::after(&encoder, "last_hidden_state", &nodes, &[last]);
    assert!(look(copy.path()).usable, "{:?}", look(copy.path()).problems);
    assert_eq!(draw(copy.path()), draw(&plain));
    edit(&copy.path().join("text_encoder/config.json"), "use_attention_mask", true);
    assert_ne!(draw(copy.path()), draw(&plain));
}
