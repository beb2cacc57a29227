//! A worker that lets everybody in and answers for another attempt, or as another run: what a late
//! reply of before a restart would be, sent on purpose. Its callers must not take it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use hearth_api::Incarnation;
use hearth_base::task::OwnedTask;
use hearth_engine::{Backends, Config, Engine, ErrorKind, GenerationRequest, Rank, RpcOptions};
use hearth_fabric::identity::Identity;
use hearth_fabric::registry::{self, Announcement, RankWish, Registry, RegistryUrl};
use hearth_protocol::codec;
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{Reply, Request, Trailer};
use hearth_protocol::record::WorkerRecord;
use hearth_protocol::version::{ALPN, Welcome};
use hearth_tests::Fleet;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig};
use rustls::crypto::ring::default_provider;
use tokio::task::JoinSet;

use super::client::{LIMIT, end, frame, frames};
use super::fleet;

fn run(bits: u128) -> Incarnation {
    Incarnation::from_bits(bits)
}

/// What is wrong with its answers.
#[derive(Debug, Clone, Copy)]
enum Lie {
    Attempt,
    Run,
}

/// What its streams share.
struct Shared {
    record: WorkerRecord,
    lie: Mutex<Lie>,
    /// Calls that it has answered.
    answered: AtomicU32,
}

struct Impostor {
    shared: Arc<Shared>,
    _task: OwnedTask,
    _announcement: Announcement,
}

impl Impostor {
    /// The worker `w1`, beside the fleet's own, with its models.
    async fn start(fleet: &Fleet) -> Self {
        let identity = Identity::load(&fleet.pki("worker-w1")).expect("a certificate");
        let endpoint = Endpoint::server(config(&identity), ([127, 0, 0, 1], 0).into());
        let endpoint = endpoint.expect("a socket");
        let address = endpoint.local_addr().expect("an address");
        let url = RegistryUrl::parse(fleet.registry()).expect("a URL");
        let registry = registry::open(&url, &registry::Settings::default()).expect("a registry");
        let record = record(&*registry, &identity, address).await;
        let wish = RankWish::Fixed(record.rank);
        let announced = registry.announce(record.clone(), wish, &fleet.dir().join("impostor"));
        let announcement = announced.expect("a place");
        announcement.registered().await.expect("a rank");
        let (lie, answered) = (Mutex::new(Lie::Attempt), AtomicU32::new(0));
        let shared = Arc::new(Shared { record, lie, answered });
        let serving = Arc::clone(&shared);
        let task = OwnedTask::spawn("impostor", |_| serve(endpoint, serving));
        Self { shared, _task: task, _announcement: announcement }
    }

    fn will(&self, lie: Lie) {
        *self.shared.lie.lock().expect("no panic") = lie;
    }

    fn answered(&self) -> u32 {
        self.shared.answered.load(Ordering::SeqCst)
    }
}

/// The record of the fleet's one worker, under another name.
async fn record(registry: &dyn Registry, identity: &Identity, at: SocketAddr) -> WorkerRecord {
    let observation = registry.observe().expect("a view");
    let mut view = observation.view();
    let seen = tokio::time::timeout(LIMIT, view.wait_for(|view| !view.workers.is_empty())).await;
    let view = seen.expect("in time").expect("a view");
    WorkerRecord {
        worker_id: "w1".parse().expect("a name"),
        rank: Rank(1),
        incarnation: run(1),
        endpoints: vec![at],
        certificate: identity.fingerprint(),
        ..WorkerRecord::clone(view.workers.values().next().expect("a worker"))
    }
}

fn config(identity: &Identity) -> ServerConfig {
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key())
        .expect("a certificate");
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let tls = QuicServerConfig::try_from(tls).expect("a config");
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(TransportConfig::default()));
    config
}

async fn serve(endpoint: Endpoint, shared: Arc<Shared>) {
    let mut streams = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        let shared = Arc::clone(&shared);
        streams.spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok((send, receive)) = connection.accept_bi().await {
                streams.spawn(answer(send, receive, Arc::clone(&shared)));
            }
        });
    }
}

async fn answer(mut send: SendStream, mut receive: RecvStream, shared: Arc<Shared>) {
    let Ok(message) = receive.read_to_end(1 << 20).await else { return };
    let mut bytes = match &frames(&message)[0] {
        (FrameKind::Hello, _) => frame(FrameKind::Welcome, &shared.welcome()),
        (_, request) => shared.reply(&codec::decode(request).expect("a request")),
    };
    bytes.extend(end());
    let _ = send.write_all(&bytes).await;
    let _ = send.finish();
    let _ = send.stopped().await;
}

impl Shared {
    fn welcome(&self) -> Welcome {
        Welcome {
            minor: hearth_protocol::version::MINOR,
            agent: "impostor/1".to_owned(),
            capabilities: Vec::new(),
            worker_id: self.record.worker_id.clone(),
            group: self.record.group.clone(),
            rank: Some(self.record.rank),
            incarnation: run(1),
        }
    }

    fn reply(&self, request: &Request) -> Vec<u8> {
        self.answered.fetch_add(1, Ordering::SeqCst);
        let (attempt, incarnation) = match *self.lie.lock().expect("no panic") {
            Lie::Attempt => (request.attempt + 1, run(1)),
            Lie::Run => (request.attempt, run(2)),
        };
        let value = Some(codec::EMPTY.to_vec().into());
        let reply = Reply { attempt, incarnation, value, error: None, attachments: Vec::new() };
        [frame(FrameKind::Reply, &reply), frame(FrameKind::Trailer, &Trailer::default())].concat()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_of_another_attempt_or_run_are_not_taken() {
    let fleet = fleet();
    let impostor = Impostor::start(&fleet).await;
    let text = format!(
        "[executor]\nmin_workers = 2\n[registry]\nurl = {:?}\n[tls]\ndir = {:?}\n",
        fleet.registry(),
        fleet.pki("coordinator-c0"),
    );
    let backends = Backends::builtin();
    let config = Config::parse(&text, &backends).expect("a config");
    let engine = Engine::start(&config, &backends, "test/0").await.expect("an engine");
    engine.wait_ready(2, LIMIT).await.expect("both are there");

    let to_it = RpcOptions::new().rank(Rank(1));
    for (lie, kind) in
        [(Lie::Attempt, ErrorKind::Protocol), (Lie::Run, ErrorKind::StaleIncarnation)]
    {
        impostor.will(lie);
        let none = serde_json::Value::Null;
        let envelope =
            engine.collective_rpc("stats", none, to_it.clone()).await.expect("a call").remove(0);
        let error = envelope.outcome.expect_err("a reply of somebody else's call");
        assert_eq!((error.kind, error.rank), (kind, Some(Rank(1))), "{error}");
    }
    // An image that came back as another run's is made by the other worker, once.
    let asked = impostor.answered();
    let request = GenerationRequest {
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(2),
        num_images: Some(2),
        ..GenerationRequest::default()
    };
    let output = engine.step(vec![request]).await.remove(0).expect("both images");
    let ranks = output.items.iter().map(|image| image.as_ref().expect("an image").rank);
    assert_eq!(ranks.collect::<Vec<_>>(), [Some(Rank(0)); 2]);
    assert_eq!(impostor.answered(), asked + 1, "the impostor was asked for one of them");
    engine.close().await;
}
