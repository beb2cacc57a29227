//! The same picture as diffusers' torch pipelines, for every family, step by step
//! (`tests/vectors/pipelines/families`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hearth_api::GenerationRequest;
use hearth_api::request::Lora;
use hearth_inference::model::{self, Model};
use hearth_inference::session::Interrupt;
use hearth_media::Media;
use serde::Deserialize;
use serde_json::{Value, json};

use super::support::{self, Drive as _};
use super::vectors::{Array, LATENTS, PSNR, difference};

#[derive(Deserialize)]
struct File {
    inputs: BTreeMap<String, Array>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    request: Request,
    scheduler: Option<String>,
    without: Vec<String>,
    /// Which of the folder's ControlNets there are, in order.
    #[serde(default)]
    nets: Vec<usize>,
    timesteps: Vec<f32>,
    image: Array,
    step_latents: Array,
}

/// The fields of a request that vectors have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    seed: u64,
    #[serde(default)]
    prompt: String,
    prompt_2: Option<String>,
    prompt_3: Option<String>,
    negative_prompt: Option<String>,
    negative_prompt_2: Option<String>,
    negative_prompt_3: Option<String>,
    num_inference_steps: Option<u32>,
    timesteps: Option<Vec<f64>>,
    sigmas: Option<Vec<f64>>,
    guidance_scale: Option<f64>,
    guidance_rescale: Option<f64>,
    guidance_interval: Option<[f64; 2]>,
    true_cfg_scale: Option<f64>,
    eta: Option<f64>,
    original_inference_steps: Option<u32>,
    clip_skip: Option<u32>,
    #[serde(default)]
    long_prompt: bool,
    #[serde(default)]
    prompt_weights: bool,
    max_sequence_length: Option<u32>,
    denoising_start: Option<f64>,
    denoising_end: Option<f64>,
    /// Names among the file's inputs.
    image: Option<String>,
    mask_image: Option<String>,
    latents: Option<String>,
    image_latents: Option<String>,
    strength: Option<f64>,
    #[serde(default)]
    control_image: Vec<String>,
    #[serde(default)]
    controlnet_conditioning_scale: Vec<f64>,
    #[serde(default)]
    control_guidance_start: Vec<f64>,
    #[serde(default)]
    control_guidance_end: Vec<f64>,
    #[serde(default)]
    guess_mode: bool,
    aesthetic_score: Option<f64>,
    negative_aesthetic_score: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
    original_size: Option<[u32; 2]>,
    target_size: Option<[u32; 2]>,
    crops_coords_top_left: Option<[u32; 2]>,
    negative_original_size: Option<[u32; 2]>,
    negative_target_size: Option<[u32; 2]>,
    negative_crops_coords_top_left: Option<[u32; 2]>,
    class_labels: Option<u32>,
    #[serde(default)]
    lora: BTreeMap<String, f64>,
}

impl Case {
    /// The request's fields that are given.
    fn name(&self) -> String {
        let request = format!("{:?}", self.request);
        let given = request.split(", ").filter(|field| !field.ends_with("None"));
        format!("{:?} {}", self.scheduler, given.collect::<Vec<_>>().join(", "))
    }
}

impl Request {
    fn generation(
        &self,
        scheduler: Option<&str>,
        inputs: &BTreeMap<String, Array>,
    ) -> GenerationRequest {
        let picture = |name: &Option<String>| name.as_ref().map(|name| inputs[name].picture());
        let latents = |name: &Option<String>| {
            let Array { shape, .. } = &inputs[name.as_ref()?];
            let values = inputs[name.as_ref()?].f32();
            Some(support::numbers(shape, &values))
        };
        GenerationRequest {
            prompt: self.prompt.clone(),
            prompt_2: self.prompt_2.clone(),
            prompt_3: self.prompt_3.clone(),
            negative_prompt: self.negative_prompt.clone(),
            negative_prompt_2: self.negative_prompt_2.clone(),
            negative_prompt_3: self.negative_prompt_3.clone(),
            width: self.width,
            height: self.height,
            num_inference_steps: self.num_inference_steps,
            timesteps: self.timesteps.clone(),
            sigmas: self.sigmas.clone(),
            guidance_scale: self.guidance_scale,
            guidance_rescale: self.guidance_rescale,
            guidance_interval: self.guidance_interval,
            true_cfg_scale: self.true_cfg_scale,
            scheduler: scheduler.map(str::to_owned),
            eta: self.eta,
            original_inference_steps: self.original_inference_steps,
            clip_skip: self.clip_skip,
            long_prompt: Some(self.long_prompt),
            prompt_weights: Some(self.prompt_weights),
            max_sequence_length: self.max_sequence_length,
            denoising_start: self.denoising_start,
            denoising_end: self.denoising_end,
            image: picture(&self.image).or(latents(&self.image_latents)),
            mask_image: picture(&self.mask_image),
            latents: latents(&self.latents),
            strength: self.strength,
            control_image: self.control_image.iter().map(|name| inputs[name].picture()).collect(),
            controlnet_conditioning_scale: self.controlnet_conditioning_scale.clone(),
            control_guidance_start: self.control_guidance_start.clone(),
            control_guidance_end: self.control_guidance_end.clone(),
            guess_mode: Some(self.guess_mode),
            aesthetic_score: self.aesthetic_score,
            negative_aesthetic_score: self.negative_aesthetic_score,
            original_size: self.original_size,
            target_size: self.target_size,
            crops_coords_top_left: self.crops_coords_top_left,
            negative_original_size: self.negative_original_size,
            negative_target_size: self.negative_target_size,
            negative_crops_coords_top_left: self.negative_crops_coords_top_left,
            class_labels: self.class_labels,
            lora: self
                .lora
                .iter()
                .map(|(name, &scale)| Lora { name: name.clone(), scale })
                .collect(),
            ..GenerationRequest::default()
        }
    }
}

#[test]
fn sdxl_equals_diffusers() {
    check_model("tiny-sdxl");
}

#[test]
fn sdxls_refiner_equals_diffusers() {
    check_model("tiny-sdxl-refiner");
}

#[test]
fn a_changed_picture_equals_diffusers() {
    check_model("tiny-sd");
}

#[test]
fn an_inpainting_unet_equals_diffusers() {
    check_model("tiny-inpaint");
}

#[test]
fn controlnets_equal_diffusers_alone_and_together() {
    check_model("tiny-controlnet");
}

#[test]
fn controlnets_beside_an_inpainting_unet_equal_diffusers() {
    check_laid_over("tiny-inpaint-controlnet", "tiny-inpaint");
}

#[test]
fn controlnets_of_sdxl_equal_diffusers() {
    check_laid_over("tiny-sdxl-controlnet", "tiny-sdxl");
}

#[test]
fn lora_adapters_equal_diffusers() {
    check_model("tiny-lora");
    check_model("tiny-sdxl-lora");
    check_laid_over("tiny-sd3-lora", "tiny-sd3");
    check_model("tiny-flux-lora");
}

#[test]
fn latent_consistency_equals_diffusers() {
    check_model("tiny-lcm");
}

#[test]
fn sd3_equals_diffusers_with_and_without_t5() {
    check_model("tiny-sd3");
}

#[test]
fn flux_schnell_equals_diffusers() {
    check_model("tiny-flux-schnell");
}

#[test]
fn flux_dev_equals_diffusers() {
    check_model("tiny-flux-dev");
}

#[test]
fn unconditional_models_equal_diffusers() {
    check_model("tiny-ddpm");
    check_model("tiny-ddpm-learned");
}

#[test]
fn consistency_models_equal_diffusers_by_class() {
    check_model("tiny-consistency");
}

/// Latents by share of their largest value, pictures in decibels.
const SINGLE: (f32, f64) = (LATENTS, PSNR);
/// Half precision has eleven bits, and guidance multiplies its errors by up to 7.5 in these cases.
const HALF: (f32, f64) = (1e-1, 35.0);

#[test]
fn half_precision_graphs_of_every_family_are_near_diffusers() {
    for name in ["tiny-sdxl", "tiny-sd3", "tiny-flux-dev"] {
        let models = support::repository().join("tests/models");
        let folder = support::copy_of(&models.join(name));
        support::copy_over(&models.join(format!("{name}-f16")), folder.path());
        check_folder(name, folder.path(), HALF);
    }
}

fn check_model(name: &str) {
    check_folder(name, &support::repository().join("tests/models").join(name), SINGLE);
}

/// The model's folder has its own parts alone: the others are those of `over`.
fn check_laid_over(name: &str, over: &str) {
    let models = support::repository().join("tests/models");
    let whole = support::overlaid(&models.join(name), &models.join(over));
    check_folder(name, whole.path(), SINGLE);
}

fn check_folder(name: &str, folder: &Path, near: (f32, f64)) {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors/pipelines/families")
        .join(format!("{name}.json"));
    let file: File = serde_json::from_str(&fs::read_to_string(vectors).unwrap()).unwrap();
    let mut whole = support::load(folder).unwrap();
    model::warm_up(whole.as_mut(), &Interrupt::new()).unwrap();
    assert!(!file.cases.is_empty());
    for case in &file.cases {
        if case.without.is_empty() && case.nets.is_empty() {
            check_case(whole.as_mut(), case, &file.inputs, near);
            continue;
        }
        let other = match case.nets.as_slice() {
            [] => without(folder, &case.without),
            nets => with_nets(folder, nets),
        };
        let mut pipeline = support::load(other.path()).unwrap();
        model::warm_up(pipeline.as_mut(), &Interrupt::new()).unwrap();
        check_case(pipeline.as_mut(), case, &file.inputs, near);
    }
}

fn check_case(
    pipeline: &mut dyn Model,
    case: &Case,
    inputs: &BTreeMap<String, Array>,
    (latents, decibels): (f32, f64),
) {
    let name = case.name();
    let interrupt = Interrupt::new();
    let request = case.request.generation(case.scheduler.as_deref(), inputs);
    let mut state = match pipeline.start(&request, case.request.seed, &interrupt) {
        Ok(state) => state,
        Err(error) => panic!("{name}: {}", support::chain(&error)),
    };
    let steps = case.step_latents.shape[0];
    assert_eq!(state.steps(), steps, "{name}: {:?}", case.timesteps);
    let wanted = case.step_latents.f32();
    let mut worst = 0.0_f32;
    for wanted in wanted.chunks_exact(state.latents().len()) {
        pipeline.step(&mut [&mut state], &interrupt).unwrap();
        let off = difference(state.latents(), wanted);
        assert!(off < latents, "{name}, step {}: {off}", state.step_index());
        worst = worst.max(off);
    }
    assert!(pipeline.preview(&state, &interrupt).unwrap().is_some(), "{name}");
    let output = pipeline.finish(state, &interrupt).unwrap();
    let cut = case.request.prompt.len() > 150 && !case.request.long_prompt;
    // A number of steps beside a list of them is said to have no effect.
    let listed = case.request.timesteps.as_ref().or(case.request.sigmas.as_ref()).map(Vec::len);
    let idle = listed.is_some_and(|steps| case.request.num_inference_steps != Some(steps as u32));
    let wanted = usize::from(cut) + usize::from(idle);
    assert_eq!(output.warnings.len(), wanted, "{name}: {:?}", output.warnings);
    let Media::Image(picture) = &output.media else { panic!("{:?}", output.media) };
    let near = support::psnr(&picture.rgb, &case.image.bytes());
    assert!(near >= decibels, "{name}: {near} dB");
    println!("{name}: latents {worst:.1e}, {near:.1} dB");
}

/// The folder without the parts, as its `model_index.json` then says.
fn without(folder: &Path, parts: &[String]) -> tempfile::TempDir {
    let copy = support::copy_of(folder);
    let path: PathBuf = copy.path().join("model_index.json");
    let mut index: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for part in parts {
        index[part] = json!([null, null]);
        fs::remove_dir_all(copy.path().join(part)).unwrap();
    }
    fs::write(&path, index.to_string()).unwrap();
    copy
}

/// The folder with those of its ControlNets, in that order.
fn with_nets(folder: &Path, nets: &[usize]) -> tempfile::TempDir {
    let name = |net| if net == 0 { "controlnet".to_owned() } else { format!("controlnet_{net}") };
    let copy = support::copy_of(folder);
    for (place, net) in nets.iter().enumerate() {
        support::copy_into(&folder.join(name(*net)), &copy.path().join(name(place)));
    }
    copy
}
