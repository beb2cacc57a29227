//! The engine from a program without async code.
//!
//! `cargo run --example blocking -- coordinator.toml "red heart"` with workers that run.
#![expect(clippy::print_stdout, reason = "it is an example's way to show what it has")]

use std::path::Path;
use std::time::Duration;

use hearth_engine::blocking::Engine;
use hearth_engine::{Backends, Config, GenerationRequest, RequestEvent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("usage: blocking CONFIG PROMPT")?;
    let prompt = args.next().ok_or("usage: blocking CONFIG PROMPT")?;

    let backends = Backends::builtin();
    let config = Config::load(Some(Path::new(&file)), &backends)?;
    let engine = Engine::start(&config, &backends, "example/1")?;
    engine.wait_ready(1, Duration::from_secs(30))?;
    for event in engine.submit(GenerationRequest::new(prompt))? {
        match event {
            RequestEvent::Progress { step, steps, .. } => println!("{step} of {steps}"),
            RequestEvent::Item(item) => std::fs::write("image.png", &item.bytes)?,
            _ => {}
        }
    }
    Ok(())
}
