//! A worker's side of QUIC and TLS as it should be, which answers each stream with whatever bytes a
//! test wants, and is announced beside a fleet's own workers.

use std::net::SocketAddr;
use std::sync::Arc;

use hearth_api::{Incarnation, Rank};
use hearth_base::task::OwnedTask;
use hearth_fabric::identity::Identity;
use hearth_fabric::registry::{self, Announcement, RankWish, Registry, RegistryUrl};
use hearth_protocol::frame::FrameKind;
use hearth_protocol::record::WorkerRecord;
use hearth_protocol::version::ALPN;
use hearth_tests::Fleet;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig};
use rustls::crypto::ring::default_provider;
use tokio::task::JoinSet;

use super::client::{LIMIT, end, frames};

/// What a stream's first frame is answered with, before the frame that closes the message.
pub(crate) trait Answer: Send + Sync + 'static {
    fn answer(&self, kind: FrameKind, payload: &[u8]) -> Vec<u8>;
}

/// A worker that a test speaks for. It ends when it is dropped.
pub(crate) struct RawWorker {
    _task: OwnedTask,
    _announcement: Announcement,
}

impl RawWorker {
    /// The worker `w1` of rank 1, beside the fleet's own and with its models; `answers` is made of
    /// its record.
    pub(crate) async fn start<A: Answer>(
        fleet: &Fleet,
        answers: impl FnOnce(WorkerRecord) -> Arc<A>,
    ) -> Self {
        Self::start_as(fleet, |_| (), answers).await
    }

    /// The same with a record that is changed before it is announced.
    pub(crate) async fn start_as<A: Answer>(
        fleet: &Fleet,
        change: impl FnOnce(&mut WorkerRecord),
        answers: impl FnOnce(WorkerRecord) -> Arc<A>,
    ) -> Self {
        let identity = Identity::load(&fleet.pki("worker-w1")).expect("a certificate");
        let endpoint = Endpoint::server(config(&identity), ([127, 0, 0, 1], 0).into());
        let endpoint = endpoint.expect("a socket");
        let address = endpoint.local_addr().expect("an address");
        let url = RegistryUrl::parse(fleet.registry()).expect("a URL");
        let registry = registry::open(&url, &registry::Settings::default()).expect("a registry");
        let mut record = record(&*registry, &identity, address).await;
        change(&mut record);
        let wish = RankWish::Fixed(record.rank);
        let announced = registry.announce(record.clone(), wish, &fleet.dir().join("raw-worker"));
        let announcement = announced.expect("a place");
        announcement.registered().await.expect("a rank");
        let answers = answers(record);
        let task = OwnedTask::spawn("raw worker", |_| serve(endpoint, answers));
        Self { _task: task, _announcement: announcement }
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
        incarnation: Incarnation::from_bits(1),
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

async fn serve<A: Answer>(endpoint: Endpoint, answers: Arc<A>) {
    let mut connections = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        let answers = Arc::clone(&answers);
        connections.spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok((send, receive)) = connection.accept_bi().await {
                streams.spawn(reply(send, receive, Arc::clone(&answers)));
            }
        });
    }
}

async fn reply<A: Answer>(mut send: SendStream, mut receive: RecvStream, answers: Arc<A>) {
    let Ok(message) = receive.read_to_end(1 << 20).await else { return };
    let Some((kind, payload)) = frames(&message).into_iter().next() else { return };
    let mut bytes = answers.answer(kind, &payload);
    bytes.extend(end());
    let _ = send.write_all(&bytes).await;
    let _ = send.finish();
    let _ = send.stopped().await;
}
