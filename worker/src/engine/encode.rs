//! Results become files on a thread of their own, so that the device is not idle meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_api::CallError;
use hearth_api::FinishReason;
use hearth_api::request::{GenerationRequest, OutputFormat};
use hearth_inference::model::Output;
use hearth_media::{Infotext, TextChunk};
use hearth_protocol::message::Phase;
use hearth_protocol::methods::Generated;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Times, guarded};
use crate::parts::{Ended, Finished, Job};
use crate::state::Shared;

/// A computed part.
pub(super) struct ToEncode {
    pub(super) job: Job,
    pub(super) output: Output,
    pub(super) steps: usize,
    pub(super) times: Times,
    /// Of the model.
    pub(super) digest: String,
}

/// The encoder's thread; it ends when the engine's has.
pub(super) struct Encoder(JoinHandle<()>);

impl Encoder {
    pub(super) fn start(results: Receiver<ToEncode>, shared: Arc<Shared>) -> std::io::Result<Self> {
        let work = move || {
            for ToEncode { job, output, steps, times, digest } in results {
                job.progress(Phase::OutputPostprocessing, steps, steps);
                let encoded = guarded(|| encode(&job, output, steps, times, &digest));
                shared.ended(&job, encoded);
            }
        };
        let thread = std::thread::Builder::new().name("encoder".to_owned()).spawn(work)?;
        Ok(Self(thread))
    }

    pub(super) fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the encoder's thread panicked");
        }
    }
}

fn encode(
    job: &Job,
    output: Output,
    steps: usize,
    times: Times,
    digest: &str,
) -> Result<Finished, Ended> {
    let began = Instant::now();
    let generation = times.began.map(|start| began - start).unwrap_or_default();
    let request = &job.args.request;
    let format = request.output_format.unwrap_or(OutputFormat::Png);
    let parameters = infotext(&output, &job.model);
    let record = record(&output, &job.model, digest);
    let text = [
        TextChunk { keyword: "parameters", text: &parameters },
        TextChunk { keyword: "hearth", text: &record },
    ];
    let bytes = hearth_media::encode(&output.media, format, &text)
        .map_err(|error| Ended::Failed(CallError::invalid("output_format", error.to_string())))?;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let timings = BTreeMap::from([
        ("queue".to_owned(), ms(times.queue)),
        ("model_load".to_owned(), ms(times.model_load)),
        ("generation".to_owned(), ms(generation)),
        ("sessions".to_owned(), ms(output.session_time)),
        ("output_postprocessing".to_owned(), ms(began.elapsed())),
    ]);
    let value = Generated {
        part: job.args.part,
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
    Ok(Finished { value, bytes: Bytes::from(bytes) })
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
