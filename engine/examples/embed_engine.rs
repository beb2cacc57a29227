//! An engine inside a program: hooks, an event stream, a typed call.
//!
//! `cargo run --example embed_engine -- coordinator.toml "red heart"` with workers that run.
#![expect(clippy::print_stdout, reason = "it is an example's way to show what it has")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hearth_engine::{
    Backends, CallError, Config, Engine, GenerationRequest, NoArgs, Rank, RequestEvent, RpcOptions,
    Start, call, hooks,
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
    let options = RpcOptions::new().rank(Rank(0));
    for envelope in engine.call::<call::Stats>(NoArgs {}, options).await? {
        println!("{}: {} steps", envelope.worker, envelope.outcome?.steps);
    }

    let request = GenerationRequest::new(prompt).num_images(2);
    let mut submission = engine.submit(request).await?;
    while let Some(event) = submission.next().await {
        match event {
            RequestEvent::Progress { item, step, steps, .. } => {
                println!("item {item}: {step} of {steps}");
            }
            RequestEvent::Item(item) => {
                std::fs::write(format!("image-{}.png", item.index), &item.bytes)?;
            }
            RequestEvent::Finished(output) => println!("{:?}", output.finish_reason),
            _ => {}
        }
    }
    engine.close().await;
    Ok(())
}
