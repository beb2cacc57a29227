//! Folders as other versions of the exporters leave them: configs of diffusers' first releases, its
//! own scripts' and optimum's first exports, and transformers' newest tokenizers.

use std::fs;
use std::path::Path;

use hearth_api::GenerationRequest;
use hearth_api::request::Task;
use hearth_media::{Image, Media};
use serde_json::{Value, json};

use super::support::{
    Drive as _, copy_of, edit, generate, load, look, png, psnr, red_heart, refusal, repository,
    striped,
};
use super::surgery;

const TINY: &str = "tests/models/tiny-lora";

/// Its classes have a prefix in `model_index.json`, its parts no configs: their sizes are those of
/// Stable Diffusion 1.
#[test]
fn diffusers_own_exports_have_no_configs() {
    let copy = copy_of(&repository().join(TINY));
    let class = |class: &str| edit(&copy.path().join("model_index.json"), "_class_name", class);
    for part in ["unet", "vae_decoder", "vae_encoder"] {
        fs::remove_file(copy.path().join(part).join("config.json")).unwrap();
    }
    assert!(refusal(copy.path()).contains("lacks unet/config.json"));
    for name in ["OnnxStableDiffusionPipeline", "StableDiffusionOnnxPipeline"] {
        class(name);
        let pipeline = load(copy.path()).unwrap();
        let known = pipeline.pictures();
        assert_eq!((known.default_width, known.size_factor), (512, 64));
        assert_eq!(pipeline.description().family, "stable-diffusion");
    }
    class("OnnxStableDiffusionInpaintPipeline");
    assert!(refusal(copy.path()).contains("input sample has 4 channels"));
}

/// Has the encoder in file `model` draw what it gives, as optimum's first exports do.
fn draw_inside(model: &Path) {
    let (noise, sum) = ("noise", "latent_parameters");
    let nodes = [
        surgery::node("RandomNormalLike", &["latent_parameters::own"], noise, &[]),
        surgery::node("Add", &["latent_parameters::own", noise], sum, &[]),
    ];
    surgery::after(model, "latent_parameters", &nodes, &[]);
    surgery::rename_output(model, "latent_parameters", "latent_sample");
}

/// A picture's latents are drawn inside of it, so there would be no seed to them.
#[test]
fn an_encoder_that_draws_by_itself_is_left_alone() {
    let copy = copy_of(&repository().join(TINY));
    draw_inside(&copy.path().join("vae_encoder/model.onnx"));

    let report = look(copy.path());
    assert!(report.usable, "{:?}", report.problems);
    assert!(report.warnings[0].contains("vae_encoder is left out"), "{:?}", report.warnings);

    let mut pipeline = load(copy.path()).unwrap();
    assert_eq!(pipeline.pictures().tasks, [Task::TextToImage]);
    assert!(generate(pipeline.as_mut(), &red_heart(2), 1).is_ok());
    let request = GenerationRequest { image: Some(striped()), ..red_heart(2) };
    let refused = generate(pipeline.as_mut(), &request, 1).unwrap_err().to_string();
    assert!(refused.contains("no vae_encoder that a picture can start from"), "{refused}");

    // What does nothing but change pictures can't do without.
    let refiner = copy_of(&repository().join("tests/models/tiny-sdxl-refiner"));
    draw_inside(&refiner.path().join("vae_encoder/model.onnx"));
    assert!(refusal(refiner.path()).contains("nothing encodes them"));
}

/// Stable Diffusion's pipelines divide by the scaling factor and heed nothing else of the VAE.
#[test]
fn stable_diffusion_heeds_the_scaling_factor_alone() {
    let plain = repository().join(TINY);
    let copy = copy_of(&plain);
    for (key, value) in [
        ("shift_factor", json!(0.5)),
        ("latents_mean", json!([1, 2, 3, 4])),
        ("latents_std", json!([4, 3, 2, 1])),
    ] {
        edit(&copy.path().join("vae_decoder/config.json"), key, value);
    }
    let picture = |folder: &Path| {
        let mut pipeline = load(folder).unwrap();
        let output = generate(pipeline.as_mut(), &red_heart(2), 1).unwrap();
        let Media::Image(image) = output.media else { panic!("a picture was asked for") };
        image.rgb
    };
    assert!(psnr(&picture(&plain), &picture(copy.path())).is_infinite());
}

/// diffusers gives its decoder the mask and the picture, which no exported graph takes.
#[test]
fn an_asymmetric_vae_fills_no_parts() {
    let copy = copy_of(&repository().join(TINY));
    let index = copy.path().join("model_index.json");
    edit(&index, "vae", json!(["diffusers", "AsymmetricAutoencoderKL"]));
    let mut pipeline = load(copy.path()).unwrap();
    assert_eq!(pipeline.pictures().tasks, [Task::TextToImage, Task::ImageToImage]);
    let image = png(&Image { width: 32, height: 32, rgb: vec![9; 32 * 32 * 3] });
    let change = GenerationRequest { image: Some(image.clone()), ..red_heart(2) };
    assert!(generate(pipeline.as_mut(), &change, 1).is_ok());
    let fill = GenerationRequest { mask_image: Some(image), ..change };
    let refused = generate(pipeline.as_mut(), &fill, 1).unwrap_err().to_string();
    assert!(refused.contains("AsymmetricAutoencoderKL"), "{refused}");
}

#[test]
fn an_inpainting_model_without_an_encoder_is_refused() {
    let copy = copy_of(&repository().join("tests/models/tiny-inpaint"));
    fs::remove_dir_all(copy.path().join("vae_encoder")).unwrap();
    assert!(refusal(copy.path()).contains("the UNet changes or fills pictures"));
}

/// diffusers' pipelines of Flux make the nearest smaller size of one that they can't.
#[test]
fn flux_rounds_a_size_down_and_says_so() {
    let mut pipeline = load(&repository().join("tests/models/tiny-flux-schnell")).unwrap();
    let size = GenerationRequest { width: Some(35), height: Some(30), ..red_heart(1) };
    let request = GenerationRequest { guidance_scale: None, ..size };
    let output = generate(pipeline.as_mut(), &request, 1).unwrap();
    assert_eq!((output.request.width, output.request.height), (Some(32), Some(28)));
    let [width, height] = output.warnings.as_slice() else { panic!("{:?}", output.warnings) };
    assert_eq!(width, "width 35 is no multiple of 4: 32 it is");
    assert_eq!(height, "height 30 is no multiple of 4: 28 it is");
    let request = GenerationRequest { width: Some(3), ..request };
    let refused = pipeline.check(&request).unwrap_err().to_string();
    assert!(refused.contains("give 4 to"), "{refused}");
}

/// What the first releases wrote of the scheduler and of sizes, diffusers' pipelines set right, those
/// of ControlNets don't.
#[test]
fn old_configs_are_read_as_diffusers_corrects_them() {
    let image =
        png(&Image { width: 32, height: 32, rgb: (0..3072_u32).map(|at| at as u8).collect() });
    let changed = GenerationRequest { image: Some(image.clone()), ..red_heart(4) };
    let filled = GenerationRequest { mask_image: Some(image.clone()), ..changed.clone() };
    let steered = GenerationRequest { control_image: vec![image.clone(), image], ..red_heart(4) };
    let old = json!({"steps_offset": 0, "clip_sample": true, "skip_prk_steps": false});
    let corrected = json!({"steps_offset": 1, "clip_sample": false, "skip_prk_steps": false});
    let of_inpainting = json!({"steps_offset": 1, "clip_sample": true, "skip_prk_steps": true});
    let picture = |class: &str, keys: &Value, request: &GenerationRequest| {
        let copy = copy_of(&repository().join("tests/models/tiny-controlnet"));
        let config = copy.path().join("scheduler/scheduler_config.json");
        edit(&copy.path().join("model_index.json"), "scheduler", json!(["diffusers", class]));
        for (key, value) in keys.as_object().unwrap() {
            edit(&config, key, value.clone());
        }
        let mut pipeline = load(copy.path()).unwrap();
        generate(pipeline.as_mut(), request, 1).unwrap().media
    };
    for (class, request, as_good_as) in [
        ("DDIMScheduler", red_heart(4), &corrected),
        ("PNDMScheduler", red_heart(4), &corrected),
        ("DDIMScheduler", changed, &corrected),
        ("DDIMScheduler", filled.clone(), &of_inpainting),
        ("PNDMScheduler", filled, &of_inpainting),
        ("DDIMScheduler", steered.clone(), &old),
    ] {
        let read = picture(class, &old, &request);
        assert_eq!(read, picture(class, as_good_as, &request), "{class}, {as_good_as}");
    }
    // As the pipelines of ControlNets leave it: so the values above do matter.
    let plainly = |keys| picture("DDIMScheduler", keys, &steered);
    assert_ne!(plainly(&old), plainly(&corrected));

    let copy = copy_of(&repository().join("tests/models/tiny-controlnet"));
    let unet = copy.path().join("unet/config.json");
    edit(&unet, "sample_size", 32);
    let width = |version: &str| {
        edit(&unet, "_diffusers_version", version);
        load(copy.path()).unwrap().pictures().default_width
    };
    assert_eq!((width("0.8.1"), width("0.9.0.dev0"), width("0.39.0")), (128, 64, 64));
}

/// diffusers' pipeline of that name has one scheduler, whatever its folder's config names.
#[test]
fn a_ddim_pipeline_is_ddim() {
    let copy = copy_of(&repository().join("tests/models/tiny-ddpm"));
    edit(&copy.path().join("model_index.json"), "_class_name", "DDIMPipeline");
    let pipeline = load(copy.path()).unwrap();
    assert_eq!(pipeline.pictures().scheduler, "DDIMScheduler");
}

/// A variance that the scheduler wants and the model doesn't predict, and the other way round.
#[test]
fn a_predicted_variance_goes_with_schedulers_that_take_it() {
    let refused = |model: &str, request: GenerationRequest, scheduler: &str| {
        let pipeline = load(&repository().join("tests/models").join(model)).unwrap();
        let scheduler = Some(scheduler.to_owned());
        let request = GenerationRequest { scheduler, ..request };
        pipeline.check(&request).unwrap_err().to_string()
    };
    for scheduler in ["ddpm:variance_type=learned_range", "dpmpp_2m:variance_type=learned"] {
        let message = refused("tiny-lora", red_heart(2), scheduler);
        assert!(message.contains("this one predicts none; set variance_type"), "{message}");
    }
    let message = refused("tiny-ddpm-learned", GenerationRequest::default(), "ddim");
    assert!(message.contains("take ddpm or dpmpp_2m with variance_type"), "{message}");
}

/// What `export.any_size` of the tools says of a UNet that it has changed.
#[test]
fn a_folder_says_that_its_unet_takes_any_size() {
    let factor = |model: &str, settings: &str| {
        let copy = copy_of(&repository().join("tests/models").join(model));
        fs::write(copy.path().join("hearth.json"), settings).unwrap();
        load(copy.path()).unwrap().pictures().size_factor
    };
    for model in ["tiny-lcm", "tiny-sdxl-lora"] {
        assert_eq!(factor(model, "{}"), 4);
        assert_eq!(factor(model, r#"{"any_size": true}"#), 2);
    }
    assert_eq!(factor("tiny-lora", r#"{"any_size": true}"#), 4);
}
