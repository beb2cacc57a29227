//! The bytes on the wire: what version 1.0 sends is kept here, byte for byte.
//!
//! A fixture that differs is a change of the wire: it needs a line in `version.rs` and a way for
//! peers of the neighbouring minors. `HEARTH_WRITE_FIXTURES=1` writes those that are missing.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use hearth_api::request::{GenerationRequest, Input, Lora, NoiseDevice, OutputFormat, Task};
use hearth_api::tensor::{Dtype, TensorHeader};
use hearth_api::{CallError, ErrorKind, FinishReason, Incarnation, MediaFacts, Rank};
use hearth_protocol::codec::{decode, encode};
use hearth_protocol::message::{
    Accepted, Attachment, Load, Phase, Preview, Progress, Reply, Request, Span, Trailer,
};
use hearth_protocol::methods::{
    AttachArgs, AttachValue, AttachedItem, CancelArgs, DrainValue, GenerateArgs, GenerateValue,
    GetRank, Health, InferArgs, InferValue, ItemIndex, LoadModelArgs, LoadModelValue, LogLevel,
    LogLine, LogsArgs, LogsValue, ModelInfo, ModelState, ProfileArgs, ProfileValue, RequestState,
    RequestSummary, SequenceLength, SleepArgs, SleepValue, TaskDefaults, UnloadModelArgs,
    UnloadModelValue, WakeArgs, WakeValue,
};
use hearth_protocol::record::{Capacity, ModelRecord, Suspect, WorkerRecord, WorkerState};
use hearth_protocol::version::{Hello, ProtocolRange, Welcome};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, message: &T) {
    let bytes = encode(message).unwrap();
    assert_eq!(decode::<T>(&bytes).unwrap(), *message, "{name}");
    compare(&format!("{name}.hex"), &hex::encode(bytes));
}

fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    if !path.exists() && std::env::var_os("HEARTH_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, format!("{text}\n")).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(text, kept.trim_end(), "{file}: the wire has changed");
}

fn run() -> Incarnation {
    Incarnation::from_bits(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
}

fn suspect() -> Suspect {
    Suspect { request_id: "r-1".parse().unwrap(), runs: vec![run()] }
}

fn attachment() -> Attachment {
    let tensor = TensorHeader { dtype: Dtype::F32, shape: vec![1, 4, 8, 8] };
    Attachment {
        name: "latents".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        len: 1024,
        tensor: Some(tensor),
    }
}

fn generation() -> GenerationRequest {
    GenerationRequest {
        id: Some("r-1".parse().unwrap()),
        model: Some("sd15".to_owned()),
        task: Some(Task::TextToImage),
        prompt: "red heart".to_owned(),
        negative_prompt: Some("blue".to_owned()),
        width: Some(512),
        height: Some(768),
        num_images: Some(2),
        num_inference_steps: Some(20),
        guidance_scale: Some(7.5),
        eta: Some(0.0),
        clip_skip: Some(1),
        seed: Some(42),
        scheduler: Some("euler:use_karras_sigmas=true".to_owned()),
        output_format: Some(OutputFormat::Png),
        preview_every: Some(5),
        deadline_ms: Some(60_000),
        metadata: BTreeMap::from([("user".to_owned(), "7".to_owned())]),
        ..GenerationRequest::default()
    }
}

/// The fields that minor 1 added.
fn generation_1() -> GenerationRequest {
    GenerationRequest {
        prompt: "red heart".to_owned(),
        prompt_2: Some("tiger".to_owned()),
        prompt_3: Some("tree".to_owned()),
        negative_prompt_2: Some("cat".to_owned()),
        negative_prompt_3: Some("dog".to_owned()),
        timesteps: Some(vec![900.0, 1.5]),
        sigmas: Some(vec![1.0, 0.5]),
        guidance_rescale: Some(0.7),
        true_cfg_scale: Some(2.0),
        original_inference_steps: Some(50),
        long_prompt: Some(true),
        prompt_weights: Some(true),
        max_sequence_length: Some(256),
        denoising_start: Some(0.4),
        denoising_end: Some(0.8),
        original_size: Some([1024, 768]),
        target_size: Some([512, 512]),
        crops_coords_top_left: Some([0, 8]),
        aesthetic_score: Some(6.0),
        negative_aesthetic_score: Some(2.5),
        class_labels: Some(3),
        image: Some(Input::new("a picture")),
        mask_image: Some(Input::new("a mask")),
        strength: Some(0.5),
        control_image: vec![Input::new("edges"), Input::new("depth")],
        controlnet_conditioning_scale: vec![0.5],
        control_guidance_start: vec![0.0, 0.25],
        control_guidance_end: vec![0.75],
        guess_mode: Some(true),
        latents: Some(Input::new("numbers")),
        noise_device: Some(NoiseDevice::Cuda),
        ..GenerationRequest::default()
    }
}

#[test]
fn the_greeting() {
    let protocol = ProtocolRange { min: 0, max: 0 };
    let capabilities = vec!["preview".to_owned()];
    let agent = "hearth/0.1.0".to_owned();
    check("hello", &Hello { protocol, agent: agent.clone(), capabilities: capabilities.clone() });
    let welcome = Welcome {
        minor: 0,
        agent,
        capabilities,
        worker_id: "w0".parse().unwrap(),
        group: "default".parse().unwrap(),
        rank: Some(Rank(0)),
        incarnation: run(),
        load: None,
    };
    check("welcome", &welcome);
    let load = Some(Load { running: 1, queued: 3, item_ms: Some(1500) });
    check("welcome_2", &Welcome { minor: 2, load, ..welcome });
}

#[test]
fn a_call() {
    let item = ItemIndex { index: 1, of: 2 };
    let args =
        GenerateArgs { request: generation(), item, max_queue_position: None, lost: Vec::new() };
    check("generate_args", &args);
    check("generate_args_1", &GenerateArgs { request: generation_1(), ..args.clone() });
    let lora = vec![Lora { name: "ink".to_owned(), scale: 0.5 }];
    let request = GenerationRequest { prompt: "heart".to_owned(), lora, ..Default::default() };
    check("generate_args_lora", &GenerateArgs { request, ..args.clone() });
    check("generate_args_2", &GenerateArgs { max_queue_position: Some(0), ..args.clone() });
    let request = GenerationRequest {
        prompt: "heart".to_owned(),
        guidance_interval: Some([0.25, 0.75]),
        exact: Some(true),
        ..Default::default()
    };
    check("generate_args_exact", &GenerateArgs { request, ..args.clone() });
    check("generate_args_lost", &GenerateArgs { lost: vec![run()], ..args });
    let request = Request {
        id: "r-1".parse().unwrap(),
        attempt: 1,
        incarnation: Some(run()),
        method: "generate".to_owned(),
        args: encode(&CancelArgs { request_id: "r-1".parse().unwrap() }).unwrap().into(),
        deadline_ms: Some(60_000),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        attachments: vec![attachment()],
    };
    check("request", &request);
    check("accepted", &Accepted { queue_position: 3, sharing: 0 });
    check("accepted_2", &Accepted { queue_position: 0, sharing: 5 });
    check("progress", &Progress { phase: Phase::Generation, step: 5, steps: 20 });
    check("preview", &Preview { step: 5, attachment: attachment() });
    let value = GenerateValue {
        item,
        seed: 43,
        media_type: "image/png".to_owned(),
        sha256: "00".repeat(32),
        width: 512,
        height: 768,
        media: None,
        steps: 20,
        timings: BTreeMap::from([("generation".to_owned(), 1234.5)]),
        warnings: vec!["prompt was cut".to_owned()],
        finish_reason: FinishReason::Done,
    };
    check("generated", &value);
    let image = MediaFacts::Image { width: 512, height: 768 };
    assert_eq!(value.facts(), image, "a worker of minor 1 makes pictures");
    check("generated_2", &GenerateValue { media: Some(image), ..value });
    let reply = Reply {
        attempt: 1,
        incarnation: run(),
        value: Some(vec![0x80].into()),
        error: None,
        attachments: vec![attachment()],
    };
    check("reply", &reply);
    let span = Span {
        name: "generation".to_owned(),
        span_id: "b7ad6b7169203331".to_owned(),
        parent_id: Some("00f067aa0ba902b7".to_owned()),
        start_ns: 1_700_000_000_000_000_000,
        duration_ns: 1_000_000,
        attributes: BTreeMap::from([("request_id".to_owned(), "r-1".to_owned())]),
    };
    check("trailer", &Trailer { spans: vec![span] });
}

#[test]
fn an_error() {
    let error = CallError {
        param: Some("width".to_owned()),
        causes: vec!["the cause".to_owned()],
        ..CallError::new(ErrorKind::InvalidArgument, "width is 65")
    };
    let error = error.at(&"w0".parse().unwrap(), Some(Rank(0)));
    let reply = Reply {
        attempt: 0,
        incarnation: run(),
        value: None,
        error: Some(error),
        attachments: Vec::new(),
    };
    check("reply_error", &reply);
    let busy = CallError {
        retry_after_ms: Some(1500),
        ..CallError::new(ErrorKind::QueueFull, "16 requests wait")
    };
    check("reply_error_2", &Reply { error: Some(busy), ..reply.clone() });
    let quarantined = CallError::quarantined(&"r-1".parse().unwrap(), 2);
    check("reply_error_quarantined", &Reply { error: Some(quarantined), ..reply.clone() });
    let full = CallError::new(ErrorKind::Overloaded, "no room");
    check("reply_error_overloaded", &Reply { error: Some(full), ..reply });
}

#[test]
fn status() {
    let id = "w0".parse().unwrap();
    let group = "default".parse().unwrap();
    check("get_rank", &GetRank { worker_id: id, group, rank: None, incarnation: run() });
    let state = WorkerState::Draining;
    let reason = Some("draining".to_owned());
    let health = Health {
        healthy: false,
        state,
        reason,
        registered: true,
        load: None,
        suspects: Vec::new(),
        time_ms: None,
    };
    check("health", &health);
    let load = Some(Load { running: 0, queued: 0, item_ms: None });
    check("health_2", &Health { load, ..health.clone() });
    let state = WorkerState::Unhealthy;
    check("health_suspects", &Health { state, suspects: vec![suspect()], ..health.clone() });
    check("health_time", &Health { time_ms: Some(1_793_000_000_123), ..health });
    let state = WorkerState::Draining;
    check("drain", &DrainValue { state, running: 1, queued: 2 });
}

fn model() -> ModelInfo {
    ModelInfo {
        name: "sd15".to_owned(),
        aliases: vec!["default".to_owned()],
        state: ModelState::Loading,
        percent: Some(40),
        reason: Some("read again".to_owned()),
        digest: "sha256:00".to_owned(),
        family: "stable-diffusion".to_owned(),
        tasks: vec!["text-to-image".to_owned()],
        weight_bytes: 1 << 32,
        default_width: 512,
        default_height: 512,
        size_factor: 8,
        max_size: 1024,
        fixed_size: false,
        defaults: vec![TaskDefaults {
            task: "text-to-image".to_owned(),
            num_inference_steps: 50,
            guidance_scale: 7.5,
            strength: None,
        }],
        default_steps: 50,
        max_steps: 1000,
        default_guidance: 7.5,
        scheduler: "PNDMScheduler".to_owned(),
        max_prompt_tokens: 77,
        max_prompt_chars: 10_000,
        sequence_length: Some(SequenceLength { default: 256, max: 512 }),
        max_prompt_chunks: Some(8),
        max_clip_skip: Some(12),
        fields: vec!["negative_prompt".to_owned()],
        schedulers: vec!["euler".to_owned()],
        classes: None,
        lora: Vec::new(),
        controlnets: Vec::new(),
        latent_channels: 4,
    }
}

#[test]
fn models_that_come_and_go() {
    let name = "sd15".to_owned();
    let path = Some("/srv/models/sd15".to_owned());
    let aliases = vec!["default".to_owned()];
    check("load_model_args", &LoadModelArgs { name: name.clone(), path, aliases });
    let value = LoadModelValue { model: model(), loaded: true, took_ms: 12.5 };
    check("load_model", &value);
    // A bare graph: what pictures alone have is left out.
    let bare = ModelInfo { latent_channels: 0, max_steps: 0, max_prompt_chars: 0, ..model() };
    check("load_model_bare", &LoadModelValue { model: bare, loaded: true, took_ms: 12.5 });
    check("unload_model_args", &UnloadModelArgs { name: name.clone() });
    let value = UnloadModelValue { unloaded: true, freed_bytes: 1 << 30, device_bytes: 0 };
    check("unload_model", &value);
    check("sleep_args", &SleepArgs { level: 2, wait: false });
    assert_eq!(decode::<SleepArgs>(&[0x80]).unwrap(), SleepArgs { level: 1, wait: true });
    let state = WorkerState::Sleeping;
    let (freed_bytes, device_bytes) = (1 << 30, 1 << 32);
    let asleep =
        SleepValue { state, level: Some(2), freed_bytes, device_bytes, running: 0, queued: 0 };
    check("sleep", &asleep);
    check("wake_up_args", &WakeArgs { wait: true });
    let value = WakeValue { state: WorkerState::Ready, models: vec![name], took_ms: 12.5 };
    check("wake_up", &value);
}

#[test]
fn graphs_themselves() {
    let (model, graph) = ("sd15".to_owned(), "unet".to_owned());
    let outputs = vec!["out_sample".to_owned()];
    let (some_model, some_graph) = (Some(model.clone()), Some(graph.clone()));
    let args = InferArgs { model: some_model.clone(), graph: some_graph, outputs: outputs.clone() };
    check("infer_args", &args);
    check("infer", &InferValue { model: model.clone(), graph, outputs, took_ms: 12.5 });
    let args =
        ProfileArgs { model: some_model, num_inference_steps: Some(2), ..Default::default() };
    check("profile_args", &args);
    let profiles = vec!["unet".to_owned()];
    check("profile", &ProfileValue { model, steps: 2, profiles, took_ms: 12.5 });
    let tensors = Dtype::ALL.map(|dtype| TensorHeader { dtype, shape: vec![2, 3] });
    check("tensors", &tensors.to_vec());
}

#[test]
fn lines_of_a_log() {
    let args = LogsArgs { after: Some(41), incarnation: Some(run()), lines: 500, wait_ms: 20_000 };
    check("logs_args", &args);
    let plain = LogsArgs { after: None, incarnation: None, lines: 100, wait_ms: 0 };
    assert_eq!(decode::<LogsArgs>(&[0x80]).unwrap(), plain);
    let levels =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    let text = "hearth_worker::control_loop: ready".to_owned();
    let line =
        |(number, level)| LogLine { number, time_ms: 1_700_000_000_123, level, text: text.clone() };
    let lines = (42..).zip(levels).map(line).collect();
    check("logs", &LogsValue { incarnation: run(), newest: 46, lost: 0, lines });
}

#[test]
fn a_request_taken_up_again() {
    let request_id: hearth_api::RequestId = "r-1".parse().unwrap();
    check("attach_args", &AttachArgs { request_id: request_id.clone(), index: Some(1) });
    let item = ItemIndex { index: 1, of: 2 };
    let error = Some(CallError::new(ErrorKind::Cancelled, "the request was cancelled"));
    let failed = AttachedItem { item, generated: None, error };
    check("attach", &AttachValue { items: vec![failed] });
    let summary = RequestSummary {
        request_id,
        item,
        model: "sd15".to_owned(),
        state: RequestState::Running,
        step: 3,
        steps: 20,
        age_ms: 1500,
        seed: 42,
    };
    check("request_summary", &summary);
}

#[test]
fn the_registrys_record_is_json_for_people() {
    let record = WorkerRecord {
        worker_id: "w0".parse().unwrap(),
        group: "default".parse().unwrap(),
        rank: Rank(0),
        incarnation: run(),
        endpoints: vec!["10.0.0.1:7420".parse().unwrap()],
        device: "cuda:0".to_owned(),
        models: vec![ModelRecord {
            name: "sd15".to_owned(),
            aliases: vec!["default".to_owned()],
            digest: "sha256:00".to_owned(),
        }],
        capacity: Capacity { slots: 1, queue: 16, batch: 1 },
        state: WorkerState::Ready,
        percent: None,
        protocol: ProtocolRange { min: 0, max: 0 },
        certificate: "00".repeat(32),
        started_at: 1_700_000_000,
        version: "0.1.0".to_owned(),
        suspects: Vec::new(),
    };
    let json = serde_json::to_string_pretty(&record).unwrap();
    compare("record.json", &json);
    let newer = json.replacen('{', "{\"from_the_future\": [1],", 1);
    assert_eq!(serde_json::from_str::<WorkerRecord>(&newer).unwrap(), record);
    let loading = WorkerRecord { state: WorkerState::Loading, percent: Some(40), ..record.clone() };
    compare("record_loading.json", &serde_json::to_string_pretty(&loading).unwrap());
    let capacity = Capacity { slots: 1, queue: 16, batch: 8 };
    let sharing = WorkerRecord { capacity, ..record.clone() };
    compare("record_sharing.json", &serde_json::to_string_pretty(&sharing).unwrap());
    let state = WorkerState::Unhealthy;
    let unhealthy = WorkerRecord { state, suspects: vec![suspect()], ..record };
    compare("record_unhealthy.json", &serde_json::to_string_pretty(&unhealthy).unwrap());
}

proptest! {
    #[test]
    fn a_request_survives_the_wire(
        attempt: u32,
        method in ".{0,64}",
        args in proptest::collection::vec(any::<u8>(), 0..256),
        deadline_ms: Option<u64>,
        len: u64,
    ) {
        let request = Request {
            id: "r".parse().unwrap(),
            attempt,
            incarnation: None,
            method,
            args: args.into(),
            deadline_ms,
            traceparent: None,
            attachments: vec![Attachment { len, tensor: None, ..attachment() }],
        };
        prop_assert_eq!(decode::<Request>(&encode(&request).unwrap()).unwrap(), request);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode::<Request>(&bytes);
        let _ = decode::<Reply>(&bytes);
        let _ = decode::<GenerateArgs>(&bytes);
        let _ = decode::<Welcome>(&bytes);
    }
}
