//! Workers that a request costs: their process is killed while they compute it, or a run of a graph
//! never ends.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

mod endless;
mod hang;
mod poison;

use std::time::Duration;

use hearth_api::request::GenerationRequest;
use hearth_engine::Engine;
use hearth_fabric::identity::Identity;
use hearth_tests::Fleet;

/// Time that anything which should happen may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

async fn coordinator(fleet: &Fleet, name: &str, workers: usize) -> Engine {
    let identity = Identity::load(&fleet.pki(name)).expect("identity");
    let engine = Engine::connect(fleet.registry(), identity).expect("engine");
    engine.wait_ready(workers, SOON).await.expect("ready");
    engine
}

fn request(id: &str, steps: u32) -> GenerationRequest {
    GenerationRequest {
        id: Some(id.parse().expect("an id")),
        model: Some("emoji".to_owned()),
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(steps),
        seed: Some(7),
        ..GenerationRequest::default()
    }
}
