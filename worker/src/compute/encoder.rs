//! Results become files on a thread of their own, so that the device is not idle meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_api::request::{GenerationRequest, OutputFormat};
use hearth_api::{CallError, FinishReason};
use hearth_inference::model::Output;
use hearth_media::{Infotext, TextChunk};
use hearth_protocol::methods::GenerateValue;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::guard::guarded;
use super::inbox::Inbox;
use super::plan::Event;
use super::task::{EncodeTask, RunResult};
use crate::items::{ItemOutput, Outcome};

/// Encodes until all is over.
pub(super) fn run(inbox: &Arc<Inbox>) {
    while let Some(task) = inbox.next_encoding() {
        let item = task.item;
        let outcome = guarded(|| encode(task)).unwrap_or_else(Err);
        inbox.report(Event::Encoded { item, outcome });
    }
}

fn encode(task: EncodeTask) -> Outcome {
    let EncodeTask { args, model, result, times, .. } = task;
    let RunResult { output, steps, digest } = result;
    let began = Instant::now();
    let generation = times.started_at.map(|start| began - start).unwrap_or_default();
    let format = args.request.output_format.unwrap_or(OutputFormat::Png);
    let parameters = infotext(&output, &model);
    let record = record(&output, &model, &digest);
    let text = [
        TextChunk { keyword: "parameters", text: &parameters },
        TextChunk { keyword: "hearth", text: &record },
    ];
    let bytes = hearth_media::encode(&output.media, format, &text)
        .map_err(|error| CallError::invalid("output_format", error.to_string()))?;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let timings = BTreeMap::from([
        ("queue".to_owned(), ms(times.queue)),
        ("model_load".to_owned(), ms(times.model_load)),
        ("generation".to_owned(), ms(generation)),
        ("sessions".to_owned(), ms(output.session_time)),
        ("output_postprocessing".to_owned(), ms(began.elapsed())),
    ]);
    let value = GenerateValue {
        item: args.item,
        seed: output.seed,
        media_type: format.media_type().to_owned(),
        sha256: hex::encode(Sha256::digest(&bytes)),
        width: output.request.width.unwrap_or_default(),
        height: output.request.height.unwrap_or_default(),
        media: Some(output.media.facts()),
        steps: u32::try_from(steps).unwrap_or(u32::MAX),
        timings,
        warnings: output.warnings,
        finish_reason: FinishReason::Done,
    };
    Ok(ItemOutput { value, bytes: Bytes::from(bytes) })
}

/// What image tools read.
fn infotext(output: &Output, model: &str) -> String {
    let request = &output.request;
    let lora: Vec<_> = request
        .lora
        .iter()
        .filter(|lora| lora.scale != 0.0)
        .map(|lora| (lora.name.as_str(), lora.scale))
        .collect();
    let info = Infotext {
        prompt: &request.prompt,
        lora: &lora,
        negative_prompt: request.negative_prompt.as_deref().unwrap_or_default(),
        steps: request.num_inference_steps.unwrap_or_default(),
        sampler: request.scheduler.as_deref().unwrap_or_default(),
        guidance_scale: single(request.guidance_scale.unwrap_or(1.0)),
        clip_skip: request.clip_skip.unwrap_or_default(),
        prompt_weights: request.prompt_weights.unwrap_or_default(),
        seed: output.seed,
        width: request.width.unwrap_or_default(),
        height: request.height.unwrap_or_default(),
        model,
        version: concat!("Hearth ", env!("CARGO_PKG_VERSION")),
    };
    info.to_string()
}

#[expect(clippy::cast_possible_truncation, reason = "the model computes in f32")]
fn single(value: f64) -> f32 {
    value as f32
}

/// What Hearth reads: a request that makes this picture again, and by what it was made. Files that
/// it brought along are there by their digests.
fn record(output: &Output, model: &str, digest: &str) -> String {
    let asked = GenerationRequest {
        id: None,
        model: Some(model.to_owned()),
        num_images: None,
        seed: Some(output.seed),
        output_format: None,
        preview_every: None,
        deadline_ms: None,
        ..(*output.request).clone()
    };
    json!({
        "request": asked,
        "model_digest": digest,
        "version": env!("CARGO_PKG_VERSION"),
    })
    .to_string()
}
