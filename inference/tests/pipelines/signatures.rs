//! Our defaults are those of diffusers' pipelines, family by family and task by task
//! (`tests/vectors/pipelines/signatures.json`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hearth_inference::folder::Family;
use hearth_inference::pipelines::Defaults;
use serde::Deserialize;
use serde_json::Value;

use super::support;

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
        let family = Family::ALL.into_iter().find(|family| family.to_string() == case.family);
        let family = family.unwrap();
        let own = family.tasks().iter().find(|task| **task == case.task).unwrap();
        let ours = Defaults::of(family, &case.class, own);
        let class = &case.class;
        assert_eq!(Some(f64::from(ours.num_inference_steps)), case.number("num_inference_steps"));
        // A pipeline without guidance has no such argument.
        let guidance = case.number("guidance_scale").unwrap_or(1.0);
        assert_eq!(f64::from(ours.guidance_scale), guidance, "{class}");
        assert_eq!(ours.strength, case.number("strength"), "{class}");
        checked.push((family, *own));
    }
    // Each task that a family has is diffusers', but for one that only we have.
    for family in Family::ALL {
        for task in family.tasks() {
            let known = checked.contains(&(family, *task));
            let own = family == Family::LatentConsistency && *task == "inpainting";
            assert!(known || own, "{family}: {task}");
        }
    }
}

#[test]
fn a_loaded_model_has_its_tasks_defaults() {
    let lengths = [("tiny-sd3", "StableDiffusion3Pipeline"), ("tiny-flux-dev", "FluxPipeline")];
    for (model, class) in lengths {
        let pipeline =
            support::load(&support::repository().join("tests/models").join(model)).unwrap();
        let description = pipeline.description();
        let signature = cases().into_iter().find(|case| case.class == class).unwrap();
        let length = description.sequence_length.unwrap();
        assert_eq!(Some(f64::from(length.default)), signature.number("max_sequence_length"));
        let tasks: Vec<_> = description.defaults.iter().map(|defaults| defaults.task).collect();
        assert_eq!(tasks, description.tasks);
        assert_eq!(description.defaults[1].guidance_scale, 7.0);
        assert_eq!(description.defaults[1].strength, Some(0.6));
    }
}
