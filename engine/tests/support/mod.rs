//! Workers without models, for the coordinator's tests: real sockets, real TLS, a real `dir`
//! registry, and answers that a test chooses.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, FinishReason, Group, Incarnation, Rank, WorkerId};
use hearth_engine::{Engine, ExternalExecutor, ExternalOptions};
use hearth_fabric::identity::{Authority, Identity};
use hearth_fabric::quic::{EndpointKeys, IncomingCall, Listener, Peer, Service, Settings};
use hearth_fabric::registry::{self, Announcement, RankWish, RegistryUrl};
use hearth_protocol::codec;
use hearth_protocol::message::{Accepted, Attachment, Load, Phase, Progress, Trailer};
use hearth_protocol::methods::{
    GenerateArgs, GenerateValue, GetRank, Health, ModelInfo, ModelList, ModelState, Stats,
};
use hearth_protocol::record::{Capacity, ModelRecord, Suspect, WorkerRecord, WorkerState};
use hearth_protocol::role::Role;
use hearth_protocol::version::{ProtocolRange, Welcome};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Time that anything which should happen may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Timers that let a test notice silence within a second or so.
pub fn settings() -> Settings {
    Settings {
        keep_alive: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(1500),
        ..Settings::default()
    }
}

/// A cluster: its authority, its registry, its folder.
pub struct Cluster {
    pub dir: tempfile::TempDir,
    authority: Authority,
}

impl Cluster {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("test", Duration::from_secs(86_400)).unwrap();
        Self { dir, authority }
    }

    pub fn identity(&self, role: Role, name: &str) -> Arc<Identity> {
        let issued = self.authority.issue(role, name, Duration::from_secs(3600), &[]).unwrap();
        Arc::new(issued.identity().unwrap())
    }

    /// Writes an identity into a folder.
    pub fn issue(&self, role: Role, name: &str, dir: &std::path::Path) {
        let issued = self.authority.issue(role, name, Duration::from_secs(3600), &[]).unwrap();
        issued.write(dir).unwrap();
    }

    pub fn url(&self) -> RegistryUrl {
        RegistryUrl::Dir(self.dir.path().join("registry"))
    }

    /// An engine over this cluster's registry.
    pub fn engine(&self) -> Engine {
        self.engine_over(&self.url(), None)
    }

    pub fn engine_over(&self, url: &RegistryUrl, only: Option<Vec<WorkerId>>) -> Engine {
        Engine::new(self.executor(url, only))
    }

    pub fn executor(
        &self,
        url: &RegistryUrl,
        only: Option<Vec<WorkerId>>,
    ) -> Arc<ExternalExecutor> {
        let registry = registry::open(url, &registry::Settings::default()).unwrap();
        let identity = self.identity(Role::Coordinator, "c");
        let options = ExternalOptions::new(registry, identity, "test/0");
        let options = options.settings(settings()).only(only);
        Arc::new(ExternalExecutor::start(options).unwrap())
    }

    /// Starts the worker `w<rank>` and waits until it is announced.
    pub async fn worker(&self, rank: u32) -> Worker {
        self.start(rank, SocketAddr::from(([127, 0, 0, 1], 0)), EndpointKeys::random().unwrap())
            .await
    }

    /// Starts a worker again after a crash: same name, port and keys, another run.
    pub async fn restart(&self, crashed: Crashed) -> Worker {
        self.start(crashed.rank, crashed.address, crashed.keys).await
    }

    async fn start(&self, rank: u32, address: SocketAddr, keys: EndpointKeys) -> Worker {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let id = WorkerId::new(format!("w{rank}")).unwrap();
        let identity = self.identity(Role::Worker, id.as_str());
        let entered = runtime.enter();
        let listener = Listener::bind(address, Arc::clone(&identity), &keys, settings()).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::new(id.clone(), Rank(rank)));
        let cancel = CancellationToken::new();
        runtime.spawn(listener.run(Arc::new(Answering(Arc::clone(&state))), cancel.clone()));
        let registry = registry::open(&self.url(), &registry::Settings::default()).unwrap();
        let record = state.record(address, identity.fingerprint());
        let wish = RankWish::Fixed(Rank(rank));
        let state_dir = self.dir.path().join("state");
        let announcement = registry.announce(record, wish, &state_dir).unwrap();
        drop(entered);
        announcement.registered().await.unwrap();
        let announcement = Some(announcement);
        Worker { id, rank, address, keys, state, announcement, cancel, runtime: Some(runtime) }
    }
}

/// A worker that runs on threads of its own, so that it can die like a process.
pub struct Worker {
    pub id: WorkerId,
    pub rank: u32,
    pub address: SocketAddr,
    keys: EndpointKeys,
    pub state: Arc<State>,
    announcement: Option<Announcement>,
    cancel: CancellationToken,
    runtime: Option<Runtime>,
}

/// What a crashed worker leaves behind.
pub struct Crashed {
    rank: u32,
    address: SocketAddr,
    keys: EndpointKeys,
}

impl Worker {
    /// Ends without a goodbye.
    pub fn crash(mut self) -> Crashed {
        drop(self.announcement.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout_outside();
        }
        Crashed { rank: self.rank, address: self.address, keys: self.keys.clone() }
    }

    /// Leaves the registry, and goes on serving.
    pub async fn withdraw(&mut self) {
        if let Some(announcement) = self.announcement.take() {
            announcement.withdraw().await;
        }
    }

    /// Announces another state.
    pub fn announce(&self, state: WorkerState) {
        let announcement = self.announcement.as_ref().unwrap();
        announcement.update(|record| record.state = state).unwrap();
    }

    /// Announces another address.
    pub fn advertise(&self, address: SocketAddr) {
        let announcement = self.announcement.as_ref().unwrap();
        announcement.update(|record| record.endpoints = vec![address]).unwrap();
    }

    /// Announces that runs were lost to a request.
    pub fn suspect(&self, request: &str, runs: &[Incarnation]) {
        let (request_id, runs) = (request.parse().unwrap(), runs.to_vec());
        let announcement = self.announcement.as_ref().unwrap();
        let suspects = vec![Suspect { request_id, runs }];
        announcement.update(|record| record.suspects = suspects).unwrap();
    }

    /// How the worker answers `generate` from now on.
    pub fn will(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

trait ShutdownOutside {
    fn shutdown_timeout_outside(self);
}

impl ShutdownOutside for Runtime {
    /// Ends the runtime and waits until its sockets are closed, which a thread inside of another
    /// runtime may not.
    fn shutdown_timeout_outside(self) {
        std::thread::spawn(|| self.shutdown_timeout(Duration::from_secs(5))).join().unwrap();
    }
}

/// How a worker answers `generate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// With an image.
    Draw,
    /// With this error.
    Refuse(ErrorKind),
    /// Not at all, until the call is cancelled.
    Hang,
    /// With `queue_full`, and when to come back.
    Full {
        /// In milliseconds.
        retry_after_ms: Option<u32>,
    },
    /// By letting it wait behind so many others, until the call is cancelled.
    Queue {
        /// How many.
        position: u32,
    },
}

impl Behaviour {
    /// What a worker that behaves so has to do.
    fn load(self) -> Load {
        let queued = match self {
            Self::Draw | Self::Refuse(_) => return Load::default(),
            Self::Hang => 0,
            Self::Full { .. } => CAPACITY.queue,
            Self::Queue { position } => position - 1,
        };
        Load { running: 1, queued, item_ms: None }
    }
}

/// What a worker is and has seen.
pub struct State {
    pub id: WorkerId,
    pub rank: Rank,
    pub incarnation: Incarnation,
    behaviour: Mutex<Behaviour>,
    /// `generate` calls.
    pub generates: AtomicU32,
    /// `check_health` calls.
    asked: AtomicU32,
    /// Calls that were cancelled.
    pub cancelled: AtomicU32,
    /// What the last `generate` was asked.
    pub last: Mutex<Option<(GenerateArgs, u32, Option<u64>)>>,
}

impl State {
    fn new(id: WorkerId, rank: Rank) -> Self {
        Self {
            id,
            rank,
            incarnation: Incarnation::from_bits(uuid::Uuid::now_v7().as_u128()),
            behaviour: Mutex::new(Behaviour::Draw),
            generates: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            cancelled: AtomicU32::new(0),
            last: Mutex::new(None),
        }
    }

    pub fn generates(&self) -> u32 {
        self.generates.load(Ordering::SeqCst)
    }

    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    fn behaviour(&self) -> Behaviour {
        *self.behaviour.lock().unwrap()
    }

    pub fn cancelled(&self) -> u32 {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn record(&self, address: SocketAddr, certificate: String) -> WorkerRecord {
        WorkerRecord {
            worker_id: self.id.clone(),
            group: Group::default(),
            rank: self.rank,
            incarnation: self.incarnation,
            endpoints: vec![address],
            device: "cpu".to_owned(),
            models: vec![ModelRecord {
                name: "emoji".to_owned(),
                aliases: vec!["demo".to_owned()],
                digest: "sha256:0".to_owned(),
            }],
            capacity: CAPACITY,
            state: WorkerState::Ready,
            percent: None,
            protocol: ProtocolRange::OURS,
            certificate,
            started_at: 1,
            version: "0".to_owned(),
            suspects: Vec::new(),
        }
    }
}

pub const CAPACITY: Capacity = Capacity { slots: 1, queue: 16, batch: 1 };

struct Answering(Arc<State>);

impl Service for Answering {
    fn welcome(&self, minor: u16) -> Welcome {
        Welcome {
            minor,
            agent: "worker/0".to_owned(),
            capabilities: Vec::new(),
            worker_id: self.0.id.clone(),
            group: Group::default(),
            rank: Some(self.0.rank),
            incarnation: self.0.incarnation,
            load: Some(self.0.behaviour().load()),
        }
    }

    fn serve(
        &self,
        _peer: &Arc<Peer>,
        call: IncomingCall,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(answer(Arc::clone(&self.0), call))
    }

    fn connections(&self, _peer: &Peer, _change: i32) {}
}

async fn answer(state: Arc<State>, call: IncomingCall) {
    let IncomingCall { request, responder, .. } = &call;
    if request.incarnation.is_some_and(|run| run != state.incarnation) {
        let error = CallError::new(ErrorKind::StaleIncarnation, "another run");
        return call.responder.fail(error).await;
    }
    let cancelled = responder.cancelled();
    match request.method.as_str() {
        "get_rank" => {
            let value = GetRank {
                worker_id: state.id.clone(),
                group: Group::default(),
                rank: Some(state.rank),
                incarnation: state.incarnation,
            };
            reply(call, &value).await;
        }
        "check_health" => {
            let value = Health {
                healthy: true,
                state: WorkerState::Ready,
                reason: None,
                registered: true,
                load: Some(state.behaviour().load()),
                suspects: Vec::new(),
                time_ms: None,
            };
            state.asked.fetch_add(1, Ordering::SeqCst);
            reply(call, &value).await;
        }
        "list_models" => reply(call, &ModelList { models: vec![model()] }).await,
        "stats" => reply(call, &stats()).await,
        "cancel" => reply(call, &hearth_protocol::methods::CancelValue { cancelled: 0 }).await,
        "hang" => {
            cancelled.await;
            state.cancelled.fetch_add(1, Ordering::SeqCst);
        }
        "generate" => generate(state, call).await,
        other => {
            let error = CallError::new(ErrorKind::UnknownMethod, format!("no method {other:?}"));
            call.responder.fail(error).await;
        }
    }
}

async fn reply<T: Serialize>(call: IncomingCall, value: &T) {
    let value = codec::encode(value).unwrap();
    call.responder.succeed(value, Vec::new(), Vec::new(), Trailer::default()).await;
}

async fn generate(state: Arc<State>, call: IncomingCall) {
    let IncomingCall { request, mut responder, .. } = call;
    state.generates.fetch_add(1, Ordering::SeqCst);
    let args: GenerateArgs = codec::decode(&request.args).unwrap();
    *state.last.lock().unwrap() = Some((args.clone(), request.attempt, request.deadline_ms));
    let behaviour = state.behaviour();
    let mut queue_position = 0;
    match behaviour {
        Behaviour::Draw | Behaviour::Hang => {}
        Behaviour::Refuse(kind) => {
            return responder.fail(CallError::new(kind, "refused")).await;
        }
        Behaviour::Full { retry_after_ms } => {
            let full = CallError::new(ErrorKind::QueueFull, "full");
            return responder.fail(CallError { retry_after_ms, ..full }).await;
        }
        Behaviour::Queue { position } => queue_position = position,
    }
    let _ = responder.accepted(Accepted { queue_position, sharing: 0 }).await;
    if queue_position > 0 {
        responder.cancelled().await;
        state.cancelled.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let progress = Progress { phase: Phase::Generation, step: 1, steps: 20 };
    let _ = responder.progress(&progress).await;
    if behaviour == Behaviour::Hang {
        responder.cancelled().await;
        state.cancelled.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let seed = args.request.seed.unwrap() + u64::from(args.item.index);
    let bytes = Bytes::from(format!("image of seed {seed}"));
    let value = GenerateValue {
        item: args.item,
        seed,
        media_type: "image/png".to_owned(),
        sha256: String::new(),
        width: 64,
        height: 64,
        media: None,
        steps: 20,
        timings: [("generation".to_owned(), 7.0)].into(),
        warnings: vec!["a warning".to_owned()],
        finish_reason: FinishReason::Done,
    };
    let attachment = Attachment {
        name: "image".to_owned(),
        media_type: "image/png".to_owned(),
        len: bytes.len() as u64,
        tensor: None,
    };
    let value = codec::encode(&value).unwrap();
    responder.succeed(value, vec![attachment], vec![bytes], Trailer::default()).await;
}

fn model() -> ModelInfo {
    ModelInfo {
        name: "emoji".to_owned(),
        aliases: Vec::new(),
        state: ModelState::Ready,
        percent: None,
        reason: None,
        digest: "sha256:0".to_owned(),
        family: "stable-diffusion".to_owned(),
        tasks: vec!["text-to-image".to_owned()],
        weight_bytes: 0,
        default_width: 64,
        default_height: 64,
        size_factor: 8,
        max_size: 64,
        fixed_size: false,
        defaults: Vec::new(),
        default_steps: 20,
        max_steps: 1000,
        default_guidance: 7.5,
        scheduler: "EulerDiscreteScheduler".to_owned(),
        max_prompt_tokens: 77,
        max_prompt_chars: 10_000,
        sequence_length: None,
        max_prompt_chunks: None,
        max_clip_skip: None,
        fields: Vec::new(),
        schedulers: Vec::new(),
        classes: None,
        lora: Vec::new(),
        controlnets: Vec::new(),
        latent_channels: 4,
    }
}

fn stats() -> Stats {
    Stats {
        pid: 1,
        started_at_ms: 1000,
        rss_bytes: 0,
        cpu_ms: 0,
        model_loads: 0,
        loaded_bytes: 0,
        steps: 0,
        running: 0,
        queued: 0,
        done: 0,
        failed: 0,
        cancelled: 0,
        refused: 0,
        connections: 1,
        capacity: CAPACITY,
    }
}
