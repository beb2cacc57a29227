//! A step takes no memory beyond its session's own, whatever the scheduler.
//!
//! Counted are the allocations of this thread in Rust: ONNX Runtime's own are none of them, but the
//! few small ones with which a session is called are. So the bound is far below the latents' size.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests are tests too, and print what they measured"
)]

use std::path::Path;

use hearth_inference::pipelines::{self, Generation, LoadOptions, Pipeline};
use hearth_inference::schedulers::SchedulerSpec;
use hearth_inference::session::{self, Interrupt, Runtime, Search};

/// Bytes that a step may take: its session's call has names and lists, and the Brownian tree of some
/// schedulers short texts of numbers.
const CALL: u64 = 4096;
/// Steps after which everything that is reused is there.
const WARM: usize = 6;

#[test]
fn a_step_takes_no_memory_of_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let configured = std::env::var("HEARTH_TEST_ORT").unwrap_or_else(|_| "auto".to_owned());
    let search = Search { configured: &configured, executable: None, directory: Some(&root) };
    let runtime = Runtime::load(&session::find(&search).unwrap(), 1).unwrap();
    for model in ["tests/models/tiny-sd", "tests/models/tiny-flux-dev"] {
        let mut pipeline =
            pipelines::load(&runtime, &root.join(model), &LoadOptions::default()).unwrap();
        // Another schedule of noise levels takes no other steps.
        let schedules = ["_karras", "_exponential", "_beta"];
        let mut names = pipeline.description().schedulers.clone();
        names.retain(|name| !schedules.iter().any(|schedule| name.ends_with(schedule)));
        for name in names {
            let request = Generation {
                prompt: "red heart".to_owned(),
                num_inference_steps: Some(9),
                scheduler: Some(SchedulerSpec::parse(name).unwrap()),
                width: Some(64),
                height: Some(64),
                ..Generation::default()
            };
            let (bytes, latents) = most_of_a_step(pipeline.as_mut(), &request);
            println!("{model}, {name}: {bytes} bytes, latents have {latents}");
            assert!(latents > 2 * CALL, "{model}: too small to tell");
            assert!(bytes <= CALL, "{model}, {name}: a step took {bytes} bytes");
        }
    }
}

/// The most bytes that a warm step took, and those of the latents.
fn most_of_a_step(pipeline: &mut dyn Pipeline, request: &Generation) -> (u64, u64) {
    let interrupt = Interrupt::new();
    let mut state = pipeline.start(request, 7, &interrupt).unwrap();
    let mut most = 0;
    while !state.is_done() {
        let step = state.step_index();
        let taken = allocation_counter::measure(|| {
            pipeline.step(&mut [&mut state], &interrupt).expect("a step");
        });
        if step >= WARM {
            most = most.max(taken.bytes_total);
        }
    }
    (most, 4 * state.latents().len() as u64)
}
