//! Calls over real sockets and real TLS: what the transport promises to both sides.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod peers;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, Incarnation};
use hearth_base::task::OwnedTask;
use hearth_fabric::identity::{Authority, CurrentIdentity, Identity};
use hearth_fabric::quic::{
    CallEvent, CloseReason, Connection, Connector, EndpointKeys, Error, IncomingCall, Listener,
    Peer, Service, Settings, Target,
};
use hearth_protocol::codec;
use hearth_protocol::message::{Accepted, Attachment, Phase, Progress, Request, Trailer};
use hearth_protocol::role::Role;
use hearth_protocol::version::Welcome;
use tokio::sync::Notify;

const MIB: usize = 1 << 20;
/// For what happens at once, on a loaded machine.
const SOON: Duration = Duration::from_secs(20);

/// Answers `echo`, `bulk <bytes>`, and `wait`, which runs until it is cancelled.
struct TestService {
    incarnation: Incarnation,
    connections: AtomicI32,
    waiting: AtomicU32,
    cancelled: Arc<Notify>,
    /// A `bulk` reply is with its caller.
    delivered: Arc<Notify>,
}

impl Service for TestService {
    fn welcome(&self, minor: u16) -> Welcome {
        Welcome {
            minor,
            agent: "test".to_owned(),
            capabilities: Vec::new(),
            worker_id: "w1".parse().unwrap(),
            group: "default".parse().unwrap(),
            rank: None,
            incarnation: self.incarnation,
            load: None,
        }
    }

    fn serve(
        &self,
        _peer: &Arc<Peer>,
        call: IncomingCall,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let IncomingCall { request, payload, mut responder, .. } = call;
        let cancelled = Arc::clone(&self.cancelled);
        let delivered = Arc::clone(&self.delivered);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let attach = |len: u64| Attachment {
                name: "bulk".to_owned(),
                media_type: "application/octet-stream".to_owned(),
                len,
                tensor: None,
            };
            let (method, size) = request.method.split_once(' ').unwrap_or((&request.method, "0"));
            let size: usize = size.parse().unwrap();
            match method {
                "echo" => {
                    let parts = payload.iter().map(|body| attach(body.len() as u64)).collect();
                    responder
                        .succeed(request.args.into_vec(), parts, payload, Trailer::default())
                        .await;
                }
                "bulk" => {
                    let body = Bytes::from(vec![7; size]);
                    let parts = vec![attach(size as u64)];
                    responder
                        .succeed(codec::EMPTY.to_vec(), parts, vec![body], Trailer::default())
                        .await;
                    delivered.notify_one();
                }
                "wait" => {
                    responder.accepted(Accepted { queue_position: 3, sharing: 0 }).await.unwrap();
                    let progress = Progress { phase: Phase::Generation, step: 1, steps: 2 };
                    responder.progress(&progress).await.unwrap();
                    responder.cancelled().await;
                    cancelled.notify_one();
                }
                _ => responder.fail(CallError::new(ErrorKind::UnknownMethod, "no such")).await,
            }
        })
    }

    fn connections(&self, _peer: &Peer, change: i32) {
        self.connections.fetch_add(change, Ordering::SeqCst);
    }
}

/// An authority and the folder that it issues into.
struct Pki {
    authority: Authority,
    dir: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let authority = Authority::create("test", Duration::from_secs(86_400)).unwrap();
        Self { authority, dir: tempfile::tempdir().unwrap() }
    }

    fn identity(&self, role: Role, name: &str) -> Arc<Identity> {
        let dir = self.dir.path().join(format!("{role}-{name}"));
        let issued = self.authority.issue(role, name, Duration::from_secs(3600), &[]).unwrap();
        issued.write(&dir).unwrap();
        Arc::new(Identity::load(&dir).unwrap())
    }
}

struct Server {
    addr: SocketAddr,
    service: Arc<TestService>,
    task: OwnedTask,
}

fn serve(
    identity: impl Into<CurrentIdentity>,
    keys: &EndpointKeys,
    addr: SocketAddr,
    run: u128,
) -> Server {
    let listener = Listener::bind(addr, identity, keys, Settings::default()).unwrap();
    let addr = listener.local_addr().unwrap();
    let service = Arc::new(TestService {
        incarnation: Incarnation::from_bits(run),
        connections: AtomicI32::new(0),
        waiting: AtomicU32::new(0),
        cancelled: Arc::new(Notify::new()),
        delivered: Arc::new(Notify::new()),
    });
    let shared: Arc<dyn Service> = service.clone();
    let task = OwnedTask::spawn("server", |cancel| listener.run(shared, cancel));
    Server { addr, service, task }
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn target(addr: SocketAddr) -> Target {
    Target { addresses: vec![addr], fingerprint: None }
}

fn request(method: &str) -> Request {
    Request {
        id: "r1".parse().unwrap(),
        attempt: 0,
        incarnation: None,
        method: method.to_owned(),
        args: codec::EMPTY.to_vec().into(),
        deadline_ms: None,
        traceparent: None,
        attachments: Vec::new(),
    }
}

async fn reply(
    connection: &Connection,
    request: &Request,
    payload: &[Bytes],
) -> (Vec<Bytes>, Duration) {
    let start = Instant::now();
    let mut call = connection.call(request, payload).await.unwrap();
    match call.next().await.unwrap() {
        CallEvent::Reply(_, payload, _) => (payload, start.elapsed()),
        other => panic!("{other:?}"),
    }
}

async fn connected() -> (Pki, Server, Connector, Connection) {
    let pki = Pki::new();
    let keys = EndpointKeys::random().unwrap();
    let server = serve(pki.identity(Role::Worker, "w1"), &keys, ANY, 1);
    let identity = pki.identity(Role::Coordinator, "c1");
    let connector = Connector::new(identity, Settings::default(), "test").unwrap();
    let connection = connector.connect(&target(server.addr)).await.unwrap();
    (pki, server, connector, connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_was_sent_survives_the_worker() {
    let (_pki, server, _connector, connection) = connected().await;
    let size = 4 * MIB;
    let mut call = connection.call(&request(&format!("bulk {size}")), &[]).await.unwrap();
    server.service.delivered.notified().await;
    server.task.stop().await;
    let CallEvent::Reply(_, payload, _) = call.next().await.unwrap() else { panic!("no reply") };
    assert_eq!(payload[0].len(), size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_carry_arguments_and_attachments_both_ways() {
    let (_pki, server, connector, connection) = connected().await;
    assert_eq!(connection.welcome().worker_id.as_str(), "w1");
    let body = Bytes::from((0..3 * MIB + 5).map(|i| (i % 251) as u8).collect::<Vec<_>>());
    let mut echo = request("echo");
    echo.attachments = vec![Attachment {
        name: "in".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        len: body.len() as u64,
        tensor: None,
    }];
    let (payload, _) = reply(&connection, &echo, std::slice::from_ref(&body)).await;
    assert_eq!(payload, [body]);

    let mut call = connection.call(&request("nothing"), &[]).await.unwrap();
    let CallEvent::Reply(answer, ..) = call.next().await.unwrap() else { panic!("no reply") };
    assert_eq!(answer.error.unwrap().kind, ErrorKind::UnknownMethod);

    connector.close().await;
    server.task.stop().await;
    assert_eq!(server.service.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_refused_while_it_is_read_is_answered_for_its_attempt() {
    let (_pki, _server, _connector, connection) = connected().await;
    let part = Attachment {
        name: "in".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        len: 1,
        tensor: None,
    };
    let many = Request { attempt: 3, attachments: vec![part; 65], ..request("echo") };
    let mut call = connection.call(&many, &[]).await.unwrap();
    let CallEvent::Reply(answer, ..) = call.next().await.unwrap() else { panic!("no reply") };
    assert_eq!((answer.attempt, answer.error.unwrap().kind), (3, ErrorKind::TooLarge));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_call_cancels_it_and_losing_the_connection_does_not() {
    let (pki, server, connector, connection) = connected().await;
    let mut call = connection.call(&request("wait"), &[]).await.unwrap();
    assert!(matches!(
        call.next().await.unwrap(),
        CallEvent::Accepted(Accepted { queue_position: 3, sharing: 0 })
    ));
    assert!(matches!(call.next().await.unwrap(), CallEvent::Progress(_)));
    let cancelled = server.service.cancelled.notified();
    drop(call);
    tokio::time::timeout(Duration::from_secs(1), cancelled).await.expect("the cancel arrives");

    let mut call = connection.call(&request("wait"), &[]).await.unwrap();
    call.next().await.unwrap();
    connector.close().await;
    assert!(matches!(connection.closed().await, CloseReason::Ours));
    let cancelled = server.service.cancelled.notified();
    let waited = tokio::time::timeout(Duration::from_millis(300), cancelled).await;
    assert!(waited.is_err(), "a lost connection is not a cancel");
    drop((pki, call));
}

/// The 99th percentile of the time that a small call takes.
async fn slow_echo(connection: &Connection) -> Duration {
    let mut times = Vec::new();
    for _ in 0..200 {
        times.push(reply(connection, &request("echo"), &[]).await.1);
    }
    times.sort();
    times[197]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_stalled_replies_of_64_mib_leave_control_calls_quick() {
    let (_pki, server, _connector, connection) = connected().await;
    let alone = slow_echo(&connection).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let bulk = request(&format!("bulk {}", 64 * MIB));
        stalled.push(connection.call(&bulk, &[]).await.unwrap());
    }
    let all_wait = async {
        while server.service.waiting.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_wait).await.expect("four replies are sent");
    // Their windows fill.
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Where other work has the cores, every call waits for them now and then. One that waited for a
    // stalled reply would do so in every round.
    let bound = (3 * alone).max(Duration::from_millis(20));
    let mut rounds = Vec::new();
    while rounds.len() < 5 && rounds.last().is_none_or(|p99| *p99 > bound) {
        rounds.push(slow_echo(&connection).await);
    }
    assert!(rounds.last().unwrap() <= &bound, "p99 {rounds:?}, and {alone:?} without them");
    // The stalled readers take up again, and the bytes are there.
    for mut call in stalled {
        let CallEvent::Reply(_, payload, _) = call.next().await.unwrap() else {
            panic!("no reply")
        };
        assert_eq!(payload[0].len(), 64 * MIB);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_worker_is_noticed_at_once() {
    let pki = Pki::new();
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("quic.key");
    let keys = EndpointKeys::load_or_create(&path).unwrap();
    let worker = pki.identity(Role::Worker, "w1");

    // A runtime of its own, ended without a word, stands for a killed process.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = {
        let _inside = runtime.enter();
        serve(Arc::clone(&worker), &keys, ANY, 1)
    };
    let identity = pki.identity(Role::Coordinator, "c1");
    let connector = Connector::new(identity, Settings::default(), "test").unwrap();
    let connection = connector.connect(&target(first.addr)).await.unwrap();
    let addr = first.addr;
    std::mem::forget(first);
    runtime.shutdown_background();
    let free = async {
        while std::net::UdpSocket::bind(addr).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), free).await.expect("the port is free again");

    let keys = EndpointKeys::load_or_create(&path).unwrap();
    let second = serve(Arc::clone(&worker), &keys, addr, 2);
    let start = Instant::now();
    // The keep-alive, at most 1 s away, is answered by a reset.
    let reason = tokio::time::timeout(Duration::from_secs(3), connection.closed()).await;
    let waited = start.elapsed();
    assert_eq!(reason.expect("a reset arrives"), CloseReason::Restarted, "after {waited:?}");
    let again = connector.connect(&target(addr)).await.unwrap();
    assert_eq!(again.welcome().incarnation, Incarnation::from_bits(2));
    second.task.stop().await;
}

/// Both sides move to another authority: first all trust both, then all bear the new one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_taken_up_without_losing_a_connection() {
    let (old, new) = (Pki::new(), Pki::new());
    let keys = EndpointKeys::random().unwrap();
    let folder = |role: Role, name: &str| old.dir.path().join(format!("{role}-{name}"));
    let worker = CurrentIdentity::from(old.identity(Role::Worker, "w1"));
    let caller = CurrentIdentity::from(old.identity(Role::Coordinator, "c1"));
    let late = old.identity(Role::Coordinator, "c2");
    let server = serve(worker.clone(), &keys, ANY, 1);
    let connector = Connector::new(caller.clone(), Settings::default(), "test").unwrap();
    let connection = connector.connect(&target(server.addr)).await.unwrap();

    let renew = |pki: &Pki, current: &CurrentIdentity, role: Role, name: &str, roots: &str| {
        let issued = pki.authority.issue(role, name, Duration::from_secs(3600), &[]).unwrap();
        issued.write(&folder(role, name)).unwrap();
        std::fs::write(folder(role, name).join("ca.crt"), roots).unwrap();
        current.reload(&folder(role, name)).unwrap();
    };
    let root = |pki: &Pki| {
        let any = pki.dir.path().join("any");
        pki.authority
            .issue(Role::Admin, "any", Duration::from_secs(60), &[])
            .unwrap()
            .write(&any)
            .unwrap();
        std::fs::read_to_string(any.join("ca.crt")).unwrap()
    };
    let both = root(&old) + &root(&new);
    renew(&old, &worker, Role::Worker, "w1", &both);
    renew(&old, &caller, Role::Coordinator, "c1", &both);
    renew(&new, &worker, Role::Worker, "w1", &both);
    assert!(connector.connect(&target(server.addr)).await.is_ok(), "while both are trusted");
    assert!(connection.close_reason().is_none(), "what was connected stays");
    renew(&new, &caller, Role::Coordinator, "c1", &root(&new));
    renew(&new, &worker, Role::Worker, "w1", &root(&new));

    let fresh = worker.get().fingerprint();
    let pinned = Target { addresses: vec![server.addr], fingerprint: Some(fresh) };
    assert!(connector.connect(&pinned).await.is_ok(), "the new certificate is shown");
    let stranger = Connector::new(late, Settings::default(), "test").unwrap();
    let refused = stranger.connect(&target(server.addr)).await;
    assert!(refused.is_err(), "the old authority is trusted no more");
    let ended = tokio::time::timeout(SOON, connection.closed()).await.expect("it ends");
    assert!(
        matches!(ended, CloseReason::Lapsed(_)),
        "the old authority's connections end: {ended}"
    );
    let again = connector.connect(&target(server.addr)).await;
    assert!(again.is_ok(), "and the new one's are made");

    let other = old.identity(Role::Coordinator, "c3");
    let error = worker.reload(&folder(Role::Coordinator, "c3")).unwrap_err().to_string();
    assert!(error.contains(&other.id.to_string()), "{error}");
    server.task.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_before_any_byte_of_a_call() {
    let pki = Pki::new();
    let keys = EndpointKeys::random().unwrap();
    let worker = pki.identity(Role::Worker, "w1");
    let server = serve(Arc::clone(&worker), &keys, ANY, 1);
    let other = Pki::new();
    let wrong: [(&str, Arc<Identity>); 2] = [
        ("another authority", other.identity(Role::Coordinator, "c1")),
        ("a worker that calls", pki.identity(Role::Worker, "w2")),
    ];
    for (what, identity) in wrong {
        let connector = Connector::new(identity, Settings::default(), "test").unwrap();
        let Err(error) = connector.connect(&target(server.addr)).await else {
            panic!("{what} was let in");
        };
        assert!(
            matches!(error, Error::Connect { reason: CloseReason::Tls(_), .. }),
            "{what}: {error:?}"
        );
    }
    let identity = pki.identity(Role::Coordinator, "c1");
    let connector = Connector::new(identity, Settings::default(), "test").unwrap();
    let pinned = Target { addresses: vec![server.addr], fingerprint: Some("00".to_owned()) };
    let Err(error) = connector.connect(&pinned).await else { panic!("another certificate passed") };
    assert!(error.to_string().contains("another certificate"), "{error}");
    let right = Target { fingerprint: Some(worker.fingerprint()), ..pinned };
    assert!(connector.connect(&right).await.is_ok());
    assert_eq!(server.service.waiting.load(Ordering::SeqCst), 0);
}
