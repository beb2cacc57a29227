//! Results become files on a thread of their own, so that the device is not idle meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_api::CallError;
use hearth_api::FinishReason;
use hearth_api::request::GenerationRequest;
use hearth_inference::pipelines::{Output, Settings};
use hearth_media::{Infotext, OutputFormat, TextChunk};
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
    let format = request.output_format.map_or(OutputFormat::Png, media_format);
    let parameters = infotext(request, &output.settings, output.seed, &job.model);
    let record = record(request, &output, &job.model, digest);
    let text = [
        TextChunk { keyword: "parameters", text: &parameters },
        TextChunk { keyword: "hearth", text: &record },
    ];
    let bytes = hearth_media::encode(&output.media, format, &text)
        .map_err(|error| Ended::Failed(CallError::invalid("output_format", error.to_string())))?;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let Settings { width, height, .. } = output.settings;
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
        width,
        height,
        media: Some(output.media.facts()),
        steps: u32::try_from(steps).unwrap_or(u32::MAX),
        timings,
        warnings: output.warnings,
        finish_reason: FinishReason::Done,
    };
    Ok(Finished { value, bytes: Bytes::from(bytes) })
}

fn media_format(format: hearth_api::request::OutputFormat) -> OutputFormat {
    use hearth_api::request::OutputFormat as Wire;
    match format {
        Wire::Png => OutputFormat::Png,
        Wire::Jpeg => OutputFormat::Jpeg,
        Wire::Webp => OutputFormat::Webp,
        Wire::Wav => OutputFormat::Wav,
        Wire::Flac => OutputFormat::Flac,
        Wire::Npy => OutputFormat::Npy,
    }
}

/// What image tools read.
fn infotext(request: &GenerationRequest, settings: &Settings, seed: u64, model: &str) -> String {
    let lora: Vec<_> = request
        .lora
        .iter()
        .filter(|lora| lora.scale != 0.0)
        .map(|lora| (lora.name.as_str(), lora.scale))
        .collect();
    let info = Infotext {
        prompt: &settings.prompt,
        lora: &lora,
        negative_prompt: &settings.negative_prompt,
        steps: settings.num_inference_steps,
        sampler: &settings.scheduler,
        guidance_scale: settings.guidance_scale,
        clip_skip: settings.request.clip_skip.unwrap_or_default(),
        prompt_weights: settings.request.prompt_weights,
        seed,
        width: settings.width,
        height: settings.height,
        model,
        version: concat!("Hearth ", env!("CARGO_PKG_VERSION")),
    };
    info.to_string()
}

/// What Hearth reads: a request that makes this picture again, and by what it was made. Files that
/// it brought along are there by their digests.
fn record(request: &GenerationRequest, output: &Output, model: &str, digest: &str) -> String {
    let settings = &output.settings;
    let asked = GenerationRequest {
        id: None,
        model: Some(model.to_owned()),
        prompt: settings.prompt.clone(),
        width: Some(settings.width),
        height: Some(settings.height),
        num_images: None,
        num_inference_steps: Some(settings.num_inference_steps),
        // Models without guidance know no scale.
        guidance_scale: request
            .guidance_scale
            .or(Some(settings.guidance_scale.into()).filter(|scale| *scale != 1.0)),
        scheduler: Some(settings.scheduler.clone()),
        strength: settings.strength,
        seed: Some(output.seed),
        output_format: None,
        preview_every: None,
        deadline_ms: None,
        ..request.clone()
    };
    json!({
        "request": asked,
        "model_digest": digest,
        "version": env!("CARGO_PKG_VERSION"),
    })
    .to_string()
}
