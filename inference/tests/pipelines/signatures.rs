//! Our defaults are those of diffusers' pipelines, family by family and task by task
//! (`tests/vectors/pipelines/signatures.json`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hearth_api::GenerationRequest;
use hearth_api::request::Task;
use hearth_inference::diffusion::PictureFamily;
use hearth_inference::diffusion::families::ALL;
use hearth_inference::model::Defaults;
use hearth_media::Image;
use serde::Deserialize;
use serde_json::Value;

use super::support::{self, Drive as _};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    class: String,
    family: String,
    task: String,
    controlnet: bool,
    defaults: BTreeMap<String, Value>,
}

impl Case {
    /// Ours, if we have both.
    fn family_and_task(&self) -> Option<(&'static PictureFamily, Task)> {
        let family = ALL.iter().find(|family| family.family.name == self.family)?;
        let task = family.family.tasks.iter().find(|task| task.name() == self.task)?;
        Some((family, *task))
    }

    fn check(&self, ours: Defaults) {
        let class = &self.class;
        let steps = Some(f64::from(ours.num_inference_steps));
        assert_eq!(steps, self.number("num_inference_steps"), "{class}");
        // A pipeline without guidance has no such argument.
        let guidance = self.number("guidance_scale").unwrap_or(1.0);
        assert_eq!(f64::from(ours.guidance_scale), guidance, "{class}");
        assert_eq!(ours.strength, self.number("strength"), "{class}");
    }

    fn number(&self, argument: &str) -> Option<f64> {
        self.defaults.get(argument).and_then(Value::as_f64)
    }
}

fn cases() -> Vec<Case> {
    let vectors = "tests/vectors/pipelines/signatures.json";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(vectors);
    serde_json::from_str::<File>(&fs::read_to_string(path).unwrap()).unwrap().cases
}

#[test]
fn every_task_has_diffusers_defaults() {
    let mut checked = Vec::new();
    for case in cases().iter().filter(|case| !case.controlnet) {
        let (family, own) = case.family_and_task().unwrap();
        checked.push((family.family.name, own));
        case.check((family.defaults)(&case.class, own));
    }
    // Each task that a family has is diffusers', but for one that only we have.
    for family in ALL {
        for task in family.family.tasks {
            let known = checked.contains(&(family.family.name, *task));
            let own = family.family.name == "latent-consistency" && *task == Task::Inpainting;
            assert!(known || own, "{}: {task}", family.family.name);
        }
    }
}

#[test]
fn every_task_with_control_images_has_diffusers_defaults() {
    let mut checked = Vec::new();
    for case in cases().iter().filter(|case| case.controlnet) {
        let Some((family, own)) = case.family_and_task() else { continue };
        if !family.takes_controlnets {
            continue;
        }
        checked.push((family.family.name, own));
        case.check((family.controlled)(&case.class, own));
        let class = &case.class;
        let scale = (family.conditioning_scale)(own);
        assert_eq!(Some(scale), case.number("controlnet_conditioning_scale"), "{class}");
        assert_eq!(case.number("control_guidance_start"), Some(0.0), "{class}");
        assert_eq!(case.number("control_guidance_end"), Some(1.0), "{class}");
        assert_eq!(case.defaults["guess_mode"], Value::Bool(false), "{class}");
    }
    for family in ALL.iter().filter(|family| family.takes_controlnets) {
        for task in family.family.tasks {
            assert!(
                checked.contains(&(family.family.name, *task)),
                "{}: {task}",
                family.family.name
            );
        }
    }
}

/// What a loaded model takes, with control images and without.
#[test]
fn a_request_has_the_defaults_of_its_pipeline() {
    let models = support::repository().join("tests/models");
    let whole = support::overlaid(&models.join("tiny-sdxl-controlnet"), &models.join("tiny-sdxl"));
    let picture = || support::png(&Image::new(32, 32, vec![90; 32 * 32 * 3]).unwrap());
    let plain = GenerationRequest {
        prompt: "red heart".to_owned(),
        width: Some(32),
        height: Some(32),
        ..GenerationRequest::default()
    };
    let change = GenerationRequest { image: Some(picture()), ..plain.clone() };
    let fill = GenerationRequest { mask_image: Some(picture()), ..change.clone() };
    let with_own = |text: &str| {
        fs::write(whole.path().join("hearth.json"), text).unwrap();
        support::load(whole.path()).unwrap()
    };
    let cases = [
        (&plain, [(5.0, None), (5.0, None)]),
        (&change, [(5.0, Some(0.3)), (5.0, Some(0.8))]),
        (&fill, [(7.5, Some(0.9999)), (5.0, Some(0.9999))]),
    ];
    let pipeline = support::load(whole.path()).unwrap();
    let own = with_own("{\"guidance_scale\": 3.0}");
    for (request, wanted) in cases {
        let steered = GenerationRequest { control_image: vec![picture()], ..request.clone() };
        for (request, (guidance, strength)) in [request, &steered].into_iter().zip(wanted) {
            let settings = pipeline.resolve(request).unwrap();
            assert_eq!((settings.guidance_scale, settings.strength), (Some(guidance), strength));
            let settings = own.resolve(request).unwrap();
            assert_eq!((settings.guidance_scale, settings.strength), (Some(3.0), strength));
        }
    }
}

#[test]
fn a_loaded_model_has_its_tasks_defaults() {
    let lengths = [("tiny-sd3", "StableDiffusion3Pipeline"), ("tiny-flux-dev", "FluxPipeline")];
    for (model, class) in lengths {
        let pipeline =
            support::load(&support::repository().join("tests/models").join(model)).unwrap();
        let description = pipeline.pictures();
        let signature = cases().into_iter().find(|case| case.class == class).unwrap();
        let length = description.sequence_length.unwrap();
        assert_eq!(Some(f64::from(length.default)), signature.number("max_sequence_length"));
        let tasks: Vec<_> = description.defaults.iter().map(|defaults| defaults.task).collect();
        assert_eq!(tasks, description.tasks);
        assert_eq!(description.defaults[1].guidance_scale, 7.0);
        assert_eq!(description.defaults[1].strength, Some(0.6));
    }
}
