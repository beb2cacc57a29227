//! Pictures of the demo model on a real `hearth-worker`.

use std::time::Instant;

use anyhow::{Context as _, Result};
use hearth_coordinator::GenerationRequest;

use super::Effort;
use super::daemon::Daemon;
use crate::measure::Samples;
use crate::report::{Report, say};

pub(crate) async fn run(report: &mut Report, effort: Effort) -> Result<()> {
    say("measuring generate");
    let daemon = Daemon::start().await?;
    let (mut pictures, mut outside, mut beyond) = <(Samples, Samples, Samples)>::default();
    for seed in 0..=effort.pictures {
        let request = GenerationRequest {
            prompt: "red heart".to_owned(),
            num_inference_steps: Some(20),
            seed: Some(seed as u64),
            ..GenerationRequest::default()
        };
        let start = Instant::now();
        let mut output = daemon.hearth.engine.step(vec![request]).await;
        let wall = start.elapsed();
        let output = output.pop().context("one request, one output")??;
        let image = output.images.into_iter().next().context("one image")??;
        let spent = |phase: &str| image.timings.get(phase).copied().unwrap_or(f64::NAN);
        let wall_ms = wall.as_secs_f64() * 1e3;
        let worker_ms = spent("queue")
            + spent("model_load")
            + spent("generation")
            + spent("output_postprocessing");
        // The first picture warms the caches.
        if seed > 0 {
            pictures.add_ms(wall);
            outside.add((wall_ms - spent("sessions")) / wall_ms);
            beyond.add(wall_ms - worker_ms);
        }
    }
    report.cases.push(outside.case("generate.overhead", "share", Vec::new()));
    report.cases.push(pictures.case("generate.demo20", "ms", Vec::new()));
    report.cases.push(beyond.case("generate.coordinator", "ms", Vec::new()));
    daemon.stop().await
}
