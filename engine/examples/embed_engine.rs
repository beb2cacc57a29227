//! An engine inside a program: hooks, an event stream, a collective call.
//!
//! `cargo run --example embed_engine -- coordinator.toml "red heart"` with workers that run.
#![expect(clippy::print_stdout, reason = "it is an example's way to show what it has")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hearth_engine::{
    Backends, CallError, Config, Engine, Exec, GenerationRequest, Rank, RequestEvent, RpcOptions,
    Start, hooks,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("usage: embed_engine CONFIG PROMPT")?;
    let prompt = args.next().ok_or("usage: embed_engine CONFIG PROMPT")?;

    let backends = Backends::builtin();
    let config = Config::load(Some(Path::new(&file)), &backends)?;
    let executor = backends.start(Start::new(&config, "example/1")?).await?;
    let engine = Engine::builder(Arc::clone(&executor))
        .hook(hooks::on_request(async |mut request: GenerationRequest| {
            request.prompt += ", on white";
            Ok::<_, CallError>(request)
        }))
        .build();
    engine.wait_ready(1, Duration::from_secs(30)).await?;

    // Rank 0 alone is asked.
    let options = RpcOptions { exec: Exec::Rank(Rank(0)), ..RpcOptions::default() };
    for envelope in engine.collective_rpc("stats", serde_json::json!({}), options).await? {
        println!("{}: {:?}", envelope.worker, envelope.outcome);
    }

    let request = GenerationRequest { prompt, num_images: Some(2), ..Default::default() };
    let mut submission = engine.submit(request).await?;
    while let Some(event) = submission.next().await {
        match event {
            RequestEvent::Progress { image, step, steps, .. } => {
                println!("image {image}: {step} of {steps}");
            }
            RequestEvent::Image(image) => {
                std::fs::write(format!("image-{}.png", image.index), &image.bytes)?;
            }
            RequestEvent::Finished(output) => println!("{:?}", output.finish_reason),
            _ => {}
        }
    }
    engine.close().await;
    Ok(())
}
