//! Too many, too slow, too large: whoever does it is bounded, and nobody else waits for it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hearth_api::{CallError, ErrorKind};
use hearth_fabric::identity::Identity;
use hearth_fabric::quic::{self, CloseReason, Connector, Settings, Target};
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::Request;
use hearth_protocol::methods::{Health, Stats};

use super::client::{
    self, LIMIT, connect, credentials, endpoint, frame, message, refusal, reply, request, send,
};
use super::{bulk, call, fleet, peer, resident, with_attachments};
use hearth_tests::until;
use serde_json::Value;

/// How long a legitimate peer may wait for its connection while others flood.
const CONNECT: Duration = Duration::from_secs(2);

/// The second longest of a hundred control calls, and the middle one.
async fn control_calls(peer: &hearth_fabric::quic::Connection) -> (Duration, Duration) {
    let mut times = Vec::new();
    for _ in 0..100 {
        let start = Instant::now();
        let _: Health = call(peer, "check_health").await;
        times.push(start.elapsed());
    }
    times.sort();
    (times[98], times[50])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_streams_end_and_leave_other_peers_alone() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let (_connector, good) = peer(&fleet).await;
    let quiet = control_calls(&good).await;
    let endpoint = endpoint(credentials(&fleet.pki("coordinator-c1")));
    let hostile = connect(&endpoint, fleet.address(0)).await;

    // A hundred requests whose attachment never comes.
    let mut stalled = Vec::new();
    for _ in 0..100 {
        let mut bytes = frame(FrameKind::Request, &with_attachments(&[1 << 20]));
        bytes.extend(bulk(0, 1000));
        let (mut send, receive) = hostile.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        stalled.push((send, receive));
    }
    let busy = control_calls(&good).await;
    println!("control calls, p99 and p50: {quiet:?} quiet, {busy:?} beside 100 stalled streams");
    assert!(busy.1 < quiet.1 * 2 + Duration::from_millis(5), "{quiet:?} {busy:?}");
    drop(stalled);

    // Three hundred that begin a request and go no further: 256 at once, each two seconds.
    let start = Instant::now();
    let slow = (0..300).map(|_| async {
        let (mut send, receive) = hostile.open_bi().await.unwrap();
        send.write_all(&[FrameKind::Request as u8]).await.unwrap();
        let (reply, _) = reply(receive).await.unwrap();
        (reply.error.unwrap().kind, start.elapsed())
    });
    let ended = join_all(slow).await;
    assert!(ended.iter().all(|(kind, _)| *kind == ErrorKind::DeadlineExceeded), "{ended:?}");
    let first = ended.iter().map(|(_, time)| *time).min().unwrap();
    println!(
        "the first of 300 slow requests ended after {first:?}, the last after {:?}",
        start.elapsed()
    );
    assert!(first >= Duration::from_secs(1) && first < Duration::from_secs(4), "{first:?}");

    // What is declared is counted before it comes, for all connections of an identity together.
    let more = connect(&endpoint, fleet.address(0)).await;
    let (_first_send, first) = send_unfinished(&hostile).await;
    let (_second_send, second) = send_unfinished(&more).await;
    let (first, second) = (reply(first), reply(second));
    tokio::pin!(first, second);
    let (refused, mut hoarder) = tokio::select! {
        refused = &mut first => (refused, second),
        refused = &mut second => (refused, first),
    };
    let error = refused.unwrap().0.error.unwrap();
    assert!(error.kind == ErrorKind::Overloaded && error.retryable, "{error}");
    let (error, _) = refusal(&hostile, &message(&request("none"))).await.unwrap();
    assert_eq!(error.kind, ErrorKind::UnknownMethod, "small calls go on");
    // Others have their files taken meanwhile.
    for name in ["coordinator-c0", "admin-a0"] {
        let other =
            connect(&client::endpoint(credentials(&fleet.pki(name))), fleet.address(0)).await;
        let mut whole = frame(
            FrameKind::Request,
            &Request { method: "none".to_owned(), ..with_attachments(&[1 << 20]) },
        );
        whole.extend(bulk(0, 1 << 20));
        whole.resize(whole.len() + (1 << 20), 7);
        whole.extend(client::end());
        let (error, _) = refusal(&other, &whole).await.unwrap();
        assert_eq!(error.kind, ErrorKind::UnknownMethod, "{name}: {error}");
    }
    // And the one that has the memory and does not move is cut.
    let error = (&mut hoarder).await.unwrap().0.error.unwrap();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    assert!(error.message.contains("KiB/s"), "{error}");
    let stats: Stats = call(&good, "stats").await;
    assert!(stats.connections >= 3, "{stats:?}");
}

/// Opens connections from an address that never answers.
struct Unanswered {
    worker: SocketAddr,
    sink: UdpSocket,
    spoof: UdpSocket,
}

impl Unanswered {
    fn new(worker: SocketAddr) -> Self {
        let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
        sink.set_read_timeout(Some(LIMIT)).unwrap();
        Self { worker, sink, spoof: UdpSocket::bind("127.0.0.1:0").unwrap() }
    }

    /// Takes a client's first packets, and sends them on as its own.
    fn send(&self, endpoint: &quinn::Endpoint, count: usize) {
        let mut packet = [0; 2048];
        // Held, so that none is closed.
        let mut held = Vec::new();
        for _ in 0..count {
            let connecting = endpoint.connect(self.sink.local_addr().unwrap(), "hearth").unwrap();
            let (len, _) = self.sink.recv_from(&mut packet).unwrap();
            self.spoof.send_to(&packet[..len], self.worker).unwrap();
            held.push(connecting);
        }
    }
}

/// A request of a large attachment of which a little comes.
async fn send_unfinished(connection: &quinn::Connection) -> (quinn::SendStream, quinn::RecvStream) {
    let mut bytes = frame(FrameKind::Request, &with_attachments(&[200 << 20]));
    bytes.extend(bulk(0, 1000));
    let (mut send, receive) = connection.open_bi().await.unwrap();
    send.write_all(&bytes).await.unwrap();
    (send, receive)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_connections_shut_nobody_out() {
    let _turn = hearth_tests::Turn::take();
    let mut fleet = fleet();
    let (_connector, good) = peer(&fleet).await;
    let _: Health = call(&good, "check_health").await;
    let first = resident(&fleet);
    let addr = fleet.address(0);
    let endpoint = endpoint(credentials(&fleet.pki("coordinator-c1")));

    for _ in 0..200 {
        connect(&endpoint, addr).await.close(0_u32.into(), b"");
    }
    let unanswered = Unanswered::new(addr);
    unanswered.send(&endpoint, 1000);
    let start = Instant::now();
    let (_other, late) = peer(&fleet).await;
    let waited = start.elapsed();
    println!("connected in {waited:?} beside 1000 unfinished handshakes");
    assert!(waited < CONNECT, "{waited:?}");
    let _: Health = call(&late, "check_health").await;

    // Peers that never greet take no place from those that do.
    let mute: Vec<_> = (0..300).map(|_| endpoint.connect(addr, "hearth").unwrap()).collect();
    let mute = join_all(mute).await;
    let start = Instant::now();
    let (_third, last) = peer(&fleet).await;
    let waited = start.elapsed();
    println!("connected in {waited:?} beside 300 mute peers");
    assert!(waited < CONNECT, "{waited:?}");
    drop(mute);

    // All of it again. The allocator keeps what a flood needed, so the bound is not the start's.
    unanswered.send(&endpoint, 1000);
    let mute: Vec<_> = (0..300).map(|_| endpoint.connect(addr, "hearth").unwrap()).collect();
    drop(join_all(mute).await);
    let _: Health = call(&last, "check_health").await;
    let after = resident(&fleet);
    println!("{first} KiB at first, {after} KiB after two floods");
    assert!(after < first + (192 << 10), "{first} KiB at first, {after} KiB after two floods");
    let stats: Stats = call(&good, "stats").await;
    assert!(stats.connections >= 3, "{stats:?}");
    let log = fleet.workers[0].log();
    // Two for each connection that was made, one for each handshake that was not.
    let lines = log.lines().count();
    println!("{lines} lines of log, {} bytes", log.len());
    assert!(lines < 2 * 225 + 300, "{lines} lines of log");
    assert!(fleet.workers[0].ended().is_none());
    let _ = send(&connect_again(&fleet).await, &message(&request("stats"))).await;
}

/// One identity takes no more than its part, and administrators get in whoever crowds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_one_identity_leave_room_and_refusals_leave_few_lines() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let crowd = |name: &str| endpoint(credentials(&fleet.pki(name)));
    let (one, two) = (crowd("coordinator-c0"), crowd("coordinator-c1"));
    let lines = fleet.workers[0].log().lines().count();
    let mut held = Vec::new();
    for endpoint in [&one, &two] {
        for _ in 0..20 {
            let greet = (0..15).map(|_| client::greet(endpoint, fleet.address(0), "crowd/1"));
            held.extend(join_all(greet).await.into_iter().flatten());
        }
    }
    // The last ones are closed a moment after their greeting.
    until("the bounds are kept", LIMIT, || {
        let open = held.iter().filter(|held| held.close_reason().is_none()).count();
        (open <= 448).then_some(())
    });
    let open = held.iter().filter(|held| held.close_reason().is_none()).count();
    println!("{open} connections of two identities are open");
    assert!(open >= 256, "{open}");

    let identity = Arc::new(Identity::load(&fleet.pki("coordinator-c1")).unwrap());
    let connector = Connector::new(identity, Settings::default(), "late/1").unwrap();
    let target = Target { addresses: vec![fleet.address(0)], fingerprint: None };
    let made = connector.connect(&target).await;
    let error = match made {
        Err(error) => CallError::from(error),
        // It was greeted before it was counted.
        Ok(connection) => {
            let reason = tokio::time::timeout(LIMIT, connection.closed()).await.unwrap();
            assert!(matches!(reason, CloseReason::Busy(_)), "{reason}");
            CallError::from(quic::Error::Lost(reason))
        }
    };
    assert!(error.kind == ErrorKind::Overloaded && error.retryable, "{error}");
    let health = fleet.hearth(&["health", "--json"]);
    assert_eq!(health.status, 0, "an administrator gets in: {health:?}");

    // Refused calls are counted, not listed.
    let peer = &held[0];
    for _ in 0..20 {
        let drain = message(&request("drain"));
        let calls = (0..100).map(|_| refusal(peer, &drain));
        for error in join_all(calls).await {
            assert_eq!(error.unwrap().0.kind, ErrorKind::PermissionDenied);
        }
    }
    let log = fleet.workers[0].log();
    let new = log.lines().count() - lines;
    assert!(new < 40, "{new} lines of log: {log}");
    until("what was left out is counted", LIMIT, || {
        let log = fleet.workers[0].log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let counted = lines.map(|line| match (&line["cause"], &line["method"]) {
            (cause, _) if cause == "drain" => line["count"].as_u64().unwrap_or_default(),
            (_, method) if method == "drain" => 1,
            _ => 0,
        });
        (counted.sum::<u64>() == 2000).then_some(())
    });
}

async fn connect_again(fleet: &hearth_tests::Fleet) -> quinn::Connection {
    connect(&endpoint(credentials(&fleet.pki("admin-a0"))), fleet.address(0)).await
}
