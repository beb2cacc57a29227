//! An engine that brings its workers: two processes on this host, which end with it.
//!
//! `cargo run --example mp -- target/debug/hearth-worker emoji=models/emoji "red heart"`
#![expect(clippy::print_stdout, reason = "it is an example's way to show what it has")]

use hearth_engine::blocking::Engine;
use hearth_engine::config::Workers;
use hearth_engine::{Backends, Config, GenerationRequest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [program, model, prompt] = &args[..] else {
        return Err("usage: mp WORKER-PROGRAM NAME=DIR PROMPT".into());
    };
    let mut config = Config::default();
    config.executor.backend = "mp".to_owned();
    config.executor.workers = Workers::Count(2);
    config.executor.min_workers = 2;
    config.executor.program = program.into();
    config.executor.args = vec!["--model".to_owned(), model.clone()];

    let engine = Engine::start(&config, &Backends::builtin(), "example/1")?;
    let request = |seed| GenerationRequest::new(prompt).seed(seed);
    for output in engine.step(vec![request(1), request(2)]) {
        for item in output?.items {
            let item = item?;
            println!("seed {} on {}: {} bytes", item.seed, item.worker, item.bytes.len());
        }
    }
    Ok(()) // the engine goes, and its workers with it
}
