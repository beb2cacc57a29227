//! A worker with a method of its own, beside the built-in ones.
//!
//! `cargo run --example own_methods -- worker.toml`, and then, from anywhere in the cluster,
//! `hearth rpc example.count --args '{"text": "red heart"}'`, or
//! `engine.collective_rpc("example.count", …)` in a program.

use std::path::Path;
use std::sync::Arc;

use hearth_api::CallError;
use hearth_protocol::codec;
use hearth_protocol::role::Role;
use hearth_worker::methods::{Answer, Call};
use hearth_worker::{Config, Overrides, Worker};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// What the method takes: a map with this field and no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountArgs {
    text: String,
}

/// What it gives.
#[derive(Serialize)]
struct CountValue {
    characters: usize,
    words: usize,
}

/// It runs on the worker's network threads, so it must not compute for long; its future is dropped
/// when the caller cancels.
async fn count(call: Call) -> Result<Answer, CallError> {
    let CountArgs { text } = codec::decode(&call.request.args).map_err(|error| {
        CallError::invalid("text", "give a text, as in {\"text\": \"red heart\"}").caused_by(&error)
    })?;
    let value =
        CountValue { characters: text.chars().count(), words: text.split_whitespace().count() };
    let value = codec::encode(&value).map_err(|error| {
        CallError::new(hearth_api::ErrorKind::Internal, "the value does not encode")
            .caused_by(&error)
    })?;
    Ok(Answer { value, ..Answer::default() })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: own_methods CONFIG")?;
    let config = Config::load(Some(Path::new(&file)), &Overrides::default())?;

    let mut worker = Worker::bind(config).await?;
    // Coordinators and administrators may call it; other workers may not.
    let roles = [Role::Coordinator, Role::Admin];
    worker.methods().register("example.count", &roles, Arc::new(|call| Box::pin(count(call))))?;

    // The first token asks for an end in good order, the second for one at once.
    let (gently, at_once) = (CancellationToken::new(), CancellationToken::new());
    let stop = gently.clone();
    let running = worker.run(gently, at_once);
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return Ok(ended?),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stop.cancel();
    Ok(running.await?)
}
