//! Which schedulers can be chosen, and what is refused, with what it says.

use hearth_inference::schedulers::{
    Error, Run, Scheduler, SchedulerConfig, SchedulerSpec, build, table,
};
use serde_json::{Value, json};

/// Stable Diffusion 1.5's own file, as exports carry it.
const SD15: &str = r#"{"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0",
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "clip_sample": false, "num_train_timesteps": 1000, "set_alpha_to_one": false,
    "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null}"#;

fn sd15(scheduler: &str, run: &Run) -> Result<Scheduler, Error> {
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
            let schedule = scheduler.schedule();
            let calls = match schedule.order() {
                2 => 13,
                _ if row.name == "pndm" => 8,
                _ => 7,
            };
            assert_eq!(schedule.timesteps().len(), calls, "{name}");
            assert_eq!(schedule.is_flow(), row.name.starts_with("flow"), "{name}");
        }
    }
}

#[test]
fn without_a_choice_the_folders_class_is_built() {
    let run = Run { steps: 3, ..Run::default() };
    let euler = SD15.replace("PNDM", "EulerDiscrete").replace("false", "-Infinity");
    let config = SchedulerConfig::parse(&euler).unwrap();
    assert_eq!(config.class_name(), "EulerDiscreteScheduler");
    assert_eq!(build(&config, None, &run).unwrap().schedule().timesteps(), [999.0, 499.5, 0.0]);

    let config = SchedulerConfig::parse(SD15).unwrap();
    assert_eq!(
        build(&config, None, &run).unwrap().schedule().timesteps(),
        [667.0, 334.0, 334.0, 1.0]
    );

    let config = SchedulerConfig::parse(&SD15.replace("PNDM", "SASolver")).unwrap();
    let message = build(&config, None, &run).err().unwrap().to_string();
    assert!(message.starts_with("unknown scheduler `SASolverScheduler`"), "{message}");
    assert!(message.contains("known: ddpm, ddim, pndm, lms,"), "{message}");
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
        ("euler:beta_start=2", "`beta_start` is 2; give a number from 1e-7 to below 1"),
        ("euler:num_train_timesteps=0", "`num_train_timesteps` is 0; give a whole number from 1"),
        ("euler:trained_betas=[0.1,0.2]", "`trained_betas` is a list of 2; give as many numbers"),
        ("dpmpp_2m:solver_order=4", "`solver_order` is 4; give a whole number from 1 to 3"),
        ("dpmpp_2m:lower_order_final=1", "`lower_order_final` is 1; give true or false"),
        (
            "dpmpp_2m:algorithm_type=dpmsolver",
            "can't take `final_sigmas_type` = zero: only dpmsolver++",
        ),
        ("dpmpp_2m:variance_type=learned,prediction_type=sample", "drops the variance of models"),
        ("dpmpp_2m_karras:use_flow_sigmas=true", "would not be finite"),
        ("unipc:solver_type=bh1", "step 9 would not be finite"),
        ("unipc:shift_terminal=0.1", "it goes with use_flow_sigmas only"),
        (
            "flow_euler:use_dynamic_shifting=true",
            "the shift for the image's size, mu, is not given",
        ),
        ("cosine:final_sigmas_type=sigma_min", "its noise be zero over zero"),
        ("ddpm:variance_type=fixed_large_log", "the root of a negative logarithm"),
        ("edm_euler:prediction_type=sample", "its preconditioning is for epsilon and v_prediction"),
        (
            "lcm:original_inference_steps=5",
            "give a whole number from 1 to 5: original_inference_steps",
        ),
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

/// Lists that a class's `set_timesteps` hasn't in diffusers, and lists that can't be followed.
#[test]
fn lists_are_refused_where_they_make_no_sense() {
    let timesteps = |list: &[f64]| Run { timesteps: Some(list.to_vec()), ..Run::default() };
    let sigmas = |list: &[f64]| Run { sigmas: Some(list.to_vec()), ..Run::default() };
    let both = Run { sigmas: Some(vec![1.0]), ..timesteps(&[1.0]) };
    for (scheduler, run, expected) in [
        ("ddim", timesteps(&[900.0, 1.0]), "DDIMScheduler takes no `timesteps`; leave it out, or"),
        ("heun", sigmas(&[9.0, 1.0]), "HeunDiscreteScheduler takes no `sigmas`; leave it out, or"),
        ("euler", Run { mu: Some(1.0), ..Run::default() }, "takes no `mu`"),
        ("euler", Run { strength: 0.5, ..Run::default() }, "takes no `strength`"),
        ("lcm", Run { strength: 0.0, ..Run::default() }, "`strength` is 0; give a number above 0"),
        ("euler", both, "`sigmas` is given beside timesteps; give one of the two"),
        ("euler", timesteps(&[]), "`timesteps` is a list of 0; give 1 to"),
        (
            "euler",
            sigmas(&[1.0, 2.0]),
            "`sigmas` is a list with 1 before 2; give numbers that fall",
        ),
        ("euler", sigmas(&[1.0, 1.0]), "numbers that fall"),
        ("euler", sigmas(&[f64::INFINITY, 1.0]), "a list with inf in it; give numbers from 0"),
        ("euler", sigmas(&[1.0]), "give two or more"),
        ("euler", timesteps(&[5.0, -1.0]), "a list with -1 in it"),
        ("euler_karras", timesteps(&[5.0, 1.0]), "a curve of noise levels chooses the timesteps"),
        ("ddpm", timesteps(&[1000.0, 1.0]), "give timesteps below 1000"),
        ("ddpm", timesteps(&[5.7, 5.2]), "whole timesteps, each once"),
        ("unipc", sigmas(&[1.0, 0.5]), "a list of noise levels goes with use_flow_sigmas only"),
        (
            "dpmpp_2m",
            Run { mu: Some(1.0), ..Run::default() },
            "it shifts with use_dynamic_shifting",
        ),
    ] {
        let message = refusal(scheduler, &run);
        assert!(message.contains(expected), "{scheduler}: {message}");
    }
    let takers = refusal("ddim", &timesteps(&[1.0]));
    assert!(
        takers
            .ends_with("ddpm, euler, heun, dpmpp_2m, dpmpp_2s, lcm, tcd, flow_euler, consistency"),
        "{takers}"
    );
}

/// Image to image takes the last ⌊n · strength⌋ steps, from a step's first call on.
#[test]
fn strength_says_where_a_run_begins() {
    let first = |name: &str, steps, strength| {
        let run = Run { steps, ..Run::default() };
        run.first_call(sd15(name, &run).unwrap().schedule(), strength)
    };
    assert_eq!(first("euler", 10, 0.75), 3);
    assert_eq!(first("euler", 10, 1.0), 0);
    assert_eq!(first("euler", 10, 0.05), 10);
    assert_eq!(first("heun", 10, 0.75), 6);
    assert_eq!(first("pndm", 10, 0.75), 3);
    let run = Run { timesteps: Some(vec![900.0, 600.0, 300.0, 0.0]), ..Run::default() };
    assert_eq!(run.first_call(sd15("euler", &run).unwrap().schedule(), 0.5), 2);
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
        build(&config, None, &run).unwrap().schedule().sigmas().to_vec()
    };
    for (ours, same) in sigmas(linear).iter().zip(sigmas(&trained.to_string())) {
        assert!((ours - same).abs() <= 1e-6 * same, "{ours} for {same}");
    }
}

/// Image-to-image starts in the middle: the first steps taken are of low order then, too.
#[test]
fn a_run_may_start_at_any_step() {
    let rows = table();
    let more = ["dpmpp_2m:solver_order=3", "pndm:skip_prk_steps=false", "dpmpp_2s:solver_order=3"];
    for name in rows.iter().map(|row| row.name).chain(more) {
        let mut scheduler = sd15(name, &Run { steps: 10, ..Run::default() }).unwrap();
        let mut sample = [0.5, -1.0, 2.0];
        for step in 4..scheduler.schedule().timesteps().len() {
            scheduler.step(step, &[0.1, 0.2, -0.3], &mut sample, Some(&[0.0; 3]));
            assert!(sample.iter().all(|value| value.is_finite()), "{name}, step {step}");
        }
    }
}
