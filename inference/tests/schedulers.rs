//! Every step of the schedulers, against diffusers 0.39 (`vectors/schedulers/CLASS.json`).
//!
//! A case is a folder's config with overrides, a number of steps, a first sample and the model's
//! outputs; ours runs through all of it on its own samples.

#![expect(clippy::unwrap_used, reason = "a test stops at what it doesn't expect")]

use hearth_inference::schedulers::{
    Error, Run, Scheduler, SchedulerConfig, SchedulerSpec, build, table,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Of a sample's greatest magnitude.
const STEP_TOLERANCE: f32 = 1e-4;
/// Relative.
const SIGMA_TOLERANCE: f32 = 1e-5;
/// Whole timesteps are equal; fractional ones are found by interpolation in single-precision
/// logarithms, whose last bit is the library's.
const TIMESTEP_TOLERANCE: f32 = 2e-3;

/// Diffusers takes these, Hearth refuses them by name.
const NOT_SUPPORTED: &[(&str, &str)] = &[
    ("use_beta_sigmas", "true"),
    ("algorithm_type", "dpmsolver"),
    ("algorithm_type", "sde-dpmsolver"),
    ("algorithm_type", "sde-dpmsolver++"),
    ("variance_type", "learned_range"),
];

/// Arguments of diffusers' `step` that no text-to-image pipeline gives.
const NO_PIPELINES_ARGUMENTS: &[&str] = &["s_churn", "use_clipped_model_output"];

#[derive(Deserialize)]
struct Vectors {
    class: String,
    sources: Map<String, Value>,
    rejected: Vec<Case>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
    overrides: Map<String, Value>,
    num_inference_steps: usize,
    step_args: Map<String, Value>,
    #[serde(default)]
    timesteps: Vec<f32>,
    #[serde(default)]
    sigmas: Vec<f32>,
    #[serde(default)]
    init_noise_sigma: f32,
    #[serde(default)]
    sample: Vec<f32>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    scaled: Vec<f32>,
    model_output: Vec<f32>,
    #[serde(default)]
    noise: Vec<Vec<f32>>,
    prev_sample: Vec<f32>,
}

#[test]
fn ddim_steps_as_diffusers() {
    check_class(include_str!("vectors/schedulers/DDIMScheduler.json"));
}

#[test]
fn euler_steps_as_diffusers() {
    check_class(include_str!("vectors/schedulers/EulerDiscreteScheduler.json"));
}

#[test]
fn euler_ancestral_steps_as_diffusers() {
    check_class(include_str!("vectors/schedulers/EulerAncestralDiscreteScheduler.json"));
}

#[test]
fn dpm_multistep_steps_as_diffusers() {
    check_class(include_str!("vectors/schedulers/DPMSolverMultistepScheduler.json"));
}

#[test]
fn pndm_steps_as_diffusers() {
    check_class(include_str!("vectors/schedulers/PNDMScheduler.json"));
}

fn check_class(json: &str) {
    let vectors: Vectors = serde_json::from_str(json).unwrap();
    let mut checked = 0;
    for case in &vectors.cases {
        if NO_PIPELINES_ARGUMENTS.iter().any(|key| case.step_args.contains_key(*key)) {
            continue;
        }
        match (vectors.build_from_file(case), not_supported(case)) {
            (Ok(scheduler), None) => {
                check_case(case, scheduler);
                check_case(case, vectors.build_with_overrides(case).unwrap());
                checked += 1;
            }
            (Err(Error::NotSupported { key, value, .. }), Some(expected)) => {
                assert_eq!((key.as_str(), value.trim_matches('"')), expected, "{}", case.name);
            }
            (Ok(_), Some(expected)) => panic!("{}: {expected:?} is supported", case.name),
            (Err(error), _) => panic!("{}: {error}", case.name),
        }
    }
    assert!(checked >= 15, "{checked} cases");
    for case in &vectors.rejected {
        assert!(vectors.build_from_file(case).is_err(), "{}: diffusers rejects it", case.name);
    }
}

impl Vectors {
    /// As diffusers: the overrides are in the config file.
    fn build_from_file(&self, case: &Case) -> Result<Box<dyn Scheduler>, Error> {
        let mut config = self.sources[&case.source].as_object().unwrap().clone();
        config.extend(case.overrides.clone());
        let config = SchedulerConfig::parse(&Value::from(config).to_string())?;
        build(&config, Some(&SchedulerSpec::parse(&self.class)?), &run(case))
    }

    /// As a caller: the overrides are in the `--scheduler` value.
    fn build_with_overrides(&self, case: &Case) -> Result<Box<dyn Scheduler>, Error> {
        let config = SchedulerConfig::parse(&self.sources[&case.source].to_string())?;
        let overrides: Vec<_> = case.overrides.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let text = format!("{}:{}", self.class, overrides.join(",").replace('"', ""));
        build(&config, Some(&SchedulerSpec::parse(&text)?), &run(case))
    }
}

fn run(case: &Case) -> Run {
    let eta = case.step_args.get("eta").and_then(Value::as_f64).unwrap_or_default() as f32;
    Run { steps: case.num_inference_steps, eta, ..Run::default() }
}

fn not_supported(case: &Case) -> Option<(&'static str, &'static str)> {
    let given = |key: &str| case.overrides.get(key).map(Value::to_string);
    NOT_SUPPORTED
        .iter()
        .find(|(key, value)| given(key).is_some_and(|given| given.trim_matches('"') == *value))
        .copied()
}

fn check_case(case: &Case, mut scheduler: Box<dyn Scheduler>) {
    let name = &case.name;
    check_schedule(case, scheduler.as_ref());
    let mut sample = case.sample.clone();
    let mut scaled = vec![0.0; sample.len()];
    for (index, step) in case.steps.iter().enumerate() {
        scheduler.scale_model_input(index, &sample, &mut scaled);
        assert_close(&scaled, &step.scaled, &format!("{name}: input of step {index}"));
        assert_eq!(
            scheduler.step_noise(index).is_some(),
            !step.noise.is_empty(),
            "{name}: step {index}"
        );
        let noise = step.noise.first().map(Vec::as_slice);
        scheduler.step(index, &step.model_output, &mut sample, noise);
        assert_close(&sample, &step.prev_sample, &format!("{name}: step {index}"));
    }
}

fn check_schedule(case: &Case, scheduler: &dyn Scheduler) {
    let name = &case.name;
    let (timesteps, sigmas) = (scheduler.timesteps(), scheduler.sigmas());
    assert_eq!(timesteps.len(), case.timesteps.len(), "{name}");
    let whole = case.timesteps.iter().all(|timestep| timestep.fract() == 0.0);
    let slack = if whole { 0.0 } else { TIMESTEP_TOLERANCE };
    for (ours, theirs) in timesteps.iter().zip(&case.timesteps) {
        assert!((ours - theirs).abs() <= slack, "{name}: timestep {ours} for {theirs}");
    }
    for (ours, theirs) in sigmas.iter().zip(&case.sigmas) {
        let slack = SIGMA_TOLERANCE * theirs.abs();
        assert!((ours - theirs).abs() <= slack, "{name}: sigma {ours} for {theirs}");
    }
    assert!(sigmas.is_empty() || sigmas.len() == timesteps.len() + 1, "{name}");
    let (ours, theirs) = (scheduler.init_noise_sigma(), case.init_noise_sigma);
    assert!((ours - theirs).abs() <= SIGMA_TOLERANCE * theirs, "{name}: initial {ours}, {theirs}");
}

fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
    let largest = theirs.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let apart = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart <= STEP_TOLERANCE * largest, "{what}: {apart} apart, largest is {largest}");
}

/// Stable Diffusion 1.5's own file, as exports carry it.
const SD15: &str = r#"{"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0",
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "clip_sample": false, "num_train_timesteps": 1000, "set_alpha_to_one": false,
    "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null}"#;

fn sd15(scheduler: &str, run: &Run) -> Result<Box<dyn Scheduler>, Error> {
    let config = SchedulerConfig::parse(SD15).unwrap();
    build(&config, Some(&SchedulerSpec::parse(scheduler)?), run)
}

fn refusal(scheduler: &str, run: &Run) -> String {
    sd15(scheduler, run).err().unwrap().to_string()
}

#[test]
fn every_name_of_the_table_builds() {
    for row in table() {
        for name in row.aliases.iter().chain([&row.name, &row.class]) {
            let scheduler = sd15(name, &Run { steps: 7, ..Run::default() }).unwrap();
            let calls = if row.name == "pndm" { 8 } else { 7 };
            assert_eq!(scheduler.timesteps().len(), calls, "{name}");
        }
    }
}

#[test]
fn without_a_choice_the_folders_class_is_built() {
    let run = Run { steps: 3, ..Run::default() };
    let euler = SD15.replace("PNDM", "EulerDiscrete").replace("false", "-Infinity");
    let config = SchedulerConfig::parse(&euler).unwrap();
    assert_eq!(config.class_name(), "EulerDiscreteScheduler");
    assert_eq!(build(&config, None, &run).unwrap().timesteps(), [999.0, 499.5, 0.0]);

    let config = SchedulerConfig::parse(SD15).unwrap();
    assert_eq!(build(&config, None, &run).unwrap().timesteps(), [667.0, 334.0, 334.0, 1.0]);

    let config = SchedulerConfig::parse(&SD15.replace("PNDM", "HeunDiscrete")).unwrap();
    let message = build(&config, None, &run).err().unwrap().to_string();
    assert!(message.starts_with("unknown scheduler `HeunDiscreteScheduler`"), "{message}");
    assert!(message.contains("known: ddim, euler,"), "{message}");
}

#[test]
fn runs_that_make_no_sense_are_refused() {
    let steps = |steps| Run { steps, ..Run::default() };
    for count in [0, 1001, 1_000_000, usize::MAX] {
        for name in ["ddim", "euler", "euler_a", "dpmpp_2m", "pndm"] {
            let message = refusal(name, &steps(count));
            let start = format!("`num_inference_steps` is {count}; give a whole number from 1 to");
            assert!(message.starts_with(&start), "{message}");
        }
    }
    for eta in [-0.1, 1.1, f32::NAN] {
        let message = refusal("ddim", &Run { eta, ..Run::default() });
        assert!(message.starts_with(&format!("`eta` is {eta}; give a number from 0")), "{message}");
    }
    for name in ["ddim", "pndm"] {
        let message = refusal(name, &steps(1000));
        assert!(message.contains("timestep 1000 is beyond the schedule"), "{message}");
    }
    for count in 1..4 {
        let message = refusal("pndm:skip_prk_steps=false", &steps(count));
        assert!(message.contains("at least 4 steps; take more steps, or set"), "{message}");
    }
}

#[test]
fn values_and_combinations_that_diffusers_rejects_are_refused() {
    for (scheduler, expected) in [
        (
            "euler_a:prediction_type=sample",
            "EulerAncestralDiscreteScheduler can't take `prediction",
        ),
        ("euler_karras:use_exponential_sigmas=true", "only one of use_karras_sigmas"),
        ("dpmpp_2m:timestep_spacing=leading,num_train_timesteps=10", "two steps fall on one noise"),
        ("euler:timestep_spacing=even", "`timestep_spacing` is \"even\"; give one of leading,"),
        ("euler:beta_start=NaN", "`beta_start` is \"NaN\"; give a number"),
        ("euler:beta_start=2", "`beta_start` is 2; give a number between 0 and 1"),
        ("euler:num_train_timesteps=0", "`num_train_timesteps` is 0; give a whole number from 1"),
        ("euler:trained_betas=[0.1,0.2]", "`trained_betas` is a list of 2; give as many numbers"),
        ("dpmpp_2m:solver_order=4", "`solver_order` is 4; give a whole number from 1 to 3"),
        ("dpmpp_2m:lower_order_final=1", "`lower_order_final` is 1; give true or false"),
        ("dpmpp_2m:prediction_type=flow_prediction", "is not supported for DPMSolverMultistep"),
        ("dpmpp_2m:use_beta_sigmas=true", "`use_beta_sigmas` = true is not supported"),
        ("dpmpp_2m:lambda_min_clipped=Infinity", "`lambda_min_clipped` is inf; give"),
        ("pndm:prediction_type=sample", "PNDMScheduler can't take `prediction_type` = sample"),
        ("pndm:skip_prk_steps=1", "`skip_prk_steps` is 1; give true or false"),
        ("pndm:steps_offset=100", "timestep 1000 is beyond the schedule"),
        ("pndm:rescale_betas_zero_snr=true", "is not one of PNDMScheduler's"),
        (
            "ddim:rescale_betas_zero_snr=true,timestep_spacing=trailing",
            "at zero SNR the noise says nothing",
        ),
    ] {
        let message = refusal(scheduler, &Run { steps: 10, ..Run::default() });
        assert!(message.contains(expected), "{scheduler}: {message}");
    }
}

/// The trained schedule is taken as it is, and counts before the named one.
#[test]
fn trained_betas_override_the_schedule() {
    let betas: Vec<f64> = (0..10).map(|index| 0.01 * f64::from(index + 1)).collect();
    let linear = r#"{"_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 10,
        "beta_start": 0.01, "beta_end": 0.1}"#;
    let mut trained: Value = serde_json::from_str(linear).unwrap();
    trained["trained_betas"] = json!(betas);
    trained["beta_end"] = json!(0.5);
    let sigmas = |json: &str| {
        let config = SchedulerConfig::parse(json).unwrap();
        let run = Run { steps: 4, ..Run::default() };
        build(&config, None, &run).unwrap().sigmas().to_vec()
    };
    for (ours, same) in sigmas(linear).iter().zip(sigmas(&trained.to_string())) {
        assert!((ours - same).abs() <= 1e-6 * same, "{ours} for {same}");
    }
}

/// Image-to-image starts in the middle: the first steps taken are of low order then, too.
#[test]
fn a_run_may_start_at_any_step() {
    for name in [
        "ddim",
        "euler",
        "euler_a",
        "dpmpp_2m",
        "dpmpp_2m:solver_order=3",
        "pndm",
        "pndm:skip_prk_steps=false",
    ] {
        let mut scheduler = sd15(name, &Run { steps: 10, ..Run::default() }).unwrap();
        let mut sample = [0.5, -1.0, 2.0];
        for step in 4..10 {
            scheduler.step(step, &[0.1, 0.2, -0.3], &mut sample, Some(&[0.0; 3]));
            assert!(sample.iter().all(|value| value.is_finite()), "{name}, step {step}");
        }
    }
}
