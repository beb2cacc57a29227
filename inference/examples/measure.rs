//! Loads a model folder, makes one picture and prints what it took: seconds, peak memory against
//! the weights, milliseconds a step, and the share of time outside ONNX sessions.
//!
//! `cargo run --release -p hearth-inference --example measure -- FOLDER [STEPS] [WIDTHxHEIGHT] [DEVICE]`

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use hearth_api::GenerationRequest;
use hearth_inference::model::{Model, PreparedRequest, Turn, warm_up};
use hearth_inference::session::{Device, Interrupt, Runtime, Search, find};
use hearth_inference::{LoadOptions, load};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &'static str| {
        arguments.get(index).map_or(default, String::as_str).to_owned()
    };
    let executable = std::env::current_exe()?;
    let directory = std::env::current_dir()?;
    let search =
        Search { configured: "auto", executable: Some(&executable), directory: Some(&directory) };
    let runtime = Runtime::load(&find(&search)?, 0)?;
    let base = memory("VmRSS")?;

    let begun = Instant::now();
    let options =
        LoadOptions { device: Device::parse(&argument(3, "cpu"))?, ..LoadOptions::default() };
    let mut model = load(&runtime, Path::new(&argument(0, "models/emoji")), &options)?;
    let weights = model.description().weight_bytes >> 10;
    println!("load: {:.1} s, weights {} MiB", begun.elapsed().as_secs_f64(), weights >> 10);
    report("after load", base, weights)?;

    let begun = Instant::now();
    warm_up(model.as_mut(), &Interrupt::new())?;
    println!("warm-up: {:.1} s", begun.elapsed().as_secs_f64());
    report("after warm-up", base, weights)?;

    let size = argument(2, "");
    let size: Vec<u32> = size.split('x').filter_map(|side| side.parse().ok()).collect();
    let mut request = GenerationRequest {
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(argument(1, "20").parse()?),
        width: size.first().copied(),
        height: size.last().copied(),
        ..GenerationRequest::default()
    };
    let preparer = model.preparer().ok_or("a bare graph makes no pictures")?;
    let prepared = match preparer.prepare(&request) {
        Ok(prepared) => prepared,
        Err(_) => {
            request.scheduler = Some("euler".to_owned());
            preparer.prepare(&request)?
        }
    };
    for run in ["first picture", "second picture"] {
        let (total, in_sessions, step) = picture(model.as_mut(), &prepared)?;
        let outside = (total - in_sessions).as_secs_f64() / total.as_secs_f64();
        println!(
            "{run}: {:.1} ms, {:.2} ms a step, {:.2} % outside sessions",
            total.as_secs_f64() * 1e3,
            step.as_secs_f64() * 1e3,
            outside * 100.0
        );
        report(run, base, weights)?;
    }
    Ok(())
}

/// Makes a picture; returns its time, the part of it inside sessions, and the mean time of a step.
fn picture(
    model: &mut dyn Model,
    prepared: &PreparedRequest,
) -> Result<(Duration, Duration, Duration), Error> {
    let interrupt = Interrupt::new();
    let begun = Instant::now();
    let generator = model.generator().ok_or("a bare graph makes no pictures")?;
    let mut run = generator.start(prepared, 42, &interrupt)?;
    let (first, steps) = (Instant::now(), run.steps());
    while !run.is_done() {
        let mut turns = [Turn::new(run.as_mut(), &interrupt)];
        generator.step(&mut turns);
        let [Turn { outcome, .. }] = turns;
        outcome?;
    }
    let step = first.elapsed() / u32::try_from(steps)?;
    let output = generator.finish(run, &interrupt)?;
    Ok((begun.elapsed(), output.session_time, step))
}

/// Prints this process's memory beyond `base`, in MiB and against the weights, all in KiB.
fn report(when: &str, base: u64, weights: u64) -> Result<(), Error> {
    let (now, peak) = (memory("VmRSS")?, memory("VmHWM")?);
    println!(
        "{when}: now {} MiB, peak {} MiB ({:.2} x weights; {} MiB before loading)",
        now >> 10,
        peak >> 10,
        peak as f64 / weights as f64,
        base >> 10
    );
    Ok(())
}

/// A line of `/proc/self/status`, in KiB.
fn memory(key: &str) -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(key)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}
