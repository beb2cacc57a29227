//! Odd values of every key of every class: each is refused, or its run ends in numbers.

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use hearth_inference::schedulers::{Error, Run, SchedulerConfig, SchedulerSpec, build, table};
use serde_json::{Map, Value};

/// As JSON, or as Python writes it.
const ODD: [&str; 20] = [
    "0",
    "-1",
    "1",
    "2",
    "0.5",
    "1e-30",
    "1e-300",
    "1e30",
    "1e308",
    "-1e308",
    "Infinity",
    "-Infinity",
    "NaN",
    "null",
    "true",
    "\"x\"",
    "[]",
    "[0.5]",
    "{}",
    "18446744073709551615",
];

/// The keys of a class, from what is said of a key that it hasn't.
fn keys(class: &str) -> Vec<String> {
    let config = SchedulerConfig::parse(&format!("{{\"_class_name\": {class:?}}}")).unwrap();
    let spec = SchedulerSpec::parse(&format!("{class}:num_vec_classes=1"));
    let error = spec.and_then(|spec| build(&config, Some(&spec), &Run::default()).map(drop));
    match error.unwrap_err() {
        Error::ForeignKey { known, .. } => known.split(", ").map(str::to_owned).collect(),
        other => panic!("{other}"),
    }
}

/// Builds the class with one odd value, and takes all steps.
fn run(class: &str, key: &str, value: &str, steps: usize) -> Result<bool, String> {
    let mut config = Map::new();
    config.insert("_class_name".to_owned(), class.into());
    if key != "num_train_timesteps" {
        config.insert("num_train_timesteps".to_owned(), 100.into());
    }
    config.insert(key.to_owned(), "the value".into());
    let json = Value::from(config).to_string().replace("\"the value\"", value);
    let config = SchedulerConfig::parse(&json).map_err(|error| error.to_string())?;
    let plain = Run { steps, ..Run::default() };
    let shifted = Run { mu: Some(0.7), ..plain.clone() };
    let built = build(&config, None, &shifted).or_else(|_| build(&config, None, &plain));
    let mut scheduler = built.map_err(|error| error.to_string())?;
    let schedule = scheduler.schedule().clone();
    let calls = schedule.timesteps().len();
    assert!(calls <= 4 * steps + 20, "{calls} calls");
    let mut finite = schedule.timesteps().iter().all(|time| time.is_finite());
    let mut sample = [0.3, -0.2, 1.0, 0.0].map(|value| value * schedule.init_noise_sigma());
    let mut scaled = sample;
    for step in 0..calls {
        schedule.scale_model_input(step, &sample, &mut scaled);
        let output: Vec<_> = scaled.iter().map(|value| value * 0.1).collect();
        let output = if schedule.takes_variance() { output.repeat(2) } else { output };
        let noise = schedule.step_noise(step).map(|_| [0.1, -0.1, 0.2, 0.0]);
        scheduler.step(step, &output, &mut sample, noise.as_ref().map(<[f32; 4]>::as_slice));
        finite &= scaled.iter().chain(&sample).all(|value| value.is_finite());
    }
    Ok(finite)
}

#[test]
fn an_odd_value_is_refused_or_its_run_ends_in_numbers() {
    let classes: BTreeSet<_> = table().into_iter().map(|row| row.class).collect();
    let mut wrong = Vec::new();
    for class in classes {
        for key in keys(class) {
            for value in ODD {
                for steps in [1, 5] {
                    let ended = catch_unwind(|| run(class, &key, value, steps));
                    match ended {
                        Ok(Ok(true)) => {}
                        Ok(Err(message)) if message.len() < 1000 => {}
                        other => wrong.push(format!("{class} {key}={value} {steps}: {other:?}")),
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
