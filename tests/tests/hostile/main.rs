//! A worker among hostile peers: what is malformed is answered with a typed error, what is endless
//! is bounded, strangers end in the handshake, and everybody else is served as before.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail anywhere")]
#![expect(clippy::print_stdout, reason = "the figures are of interest, shown with --nocapture")]

#[path = "../raw/client.rs"]
mod client;
mod floods;
mod impostor;
#[path = "../raw/server.rs"]
mod server;
mod terminal;

use std::sync::Arc;

use client::{
    Credentials, LIMIT, connect, credentials, end, endpoint, frame, greet, message, raw_frame,
    refusal, reply, request, send,
};
use hearth_api::request::GenerationRequest;
use hearth_api::{ErrorKind, Incarnation};
use hearth_fabric::identity::Identity;
use hearth_fabric::quic::{CallEvent, Connection as Peer, Connector, Settings, Target};
use hearth_protocol::codec;
use hearth_protocol::frame::{FrameHeader, FrameKind};
use hearth_protocol::message::{Attachment, Request};
use hearth_protocol::methods::{GenerateArgs, ItemIndex, Stats};
use hearth_tests::{Fleet, FleetOptions, until};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

fn fleet() -> Fleet {
    Fleet::start(FleetOptions { fixed_ports: true, ..FleetOptions::default() })
}

/// Resident memory of the fleet's one worker, in KiB.
fn resident(fleet: &Fleet) -> u64 {
    let path = format!("/proc/{}/status", fleet.workers[0].pid());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A well-behaved coordinator's connection.
async fn peer(fleet: &Fleet) -> (Connector, Peer) {
    let identity = Arc::new(Identity::load(&fleet.pki("coordinator-c0")).unwrap());
    let connector = Connector::new(identity, Settings::default(), "peer/1").unwrap();
    let target = Target { addresses: vec![fleet.address(0)], fingerprint: None };
    let connection = connector.connect(&target).await.unwrap();
    (connector, connection)
}

/// Calls a method as a well-behaved peer does.
async fn call<T: serde::de::DeserializeOwned>(peer: &Peer, method: &str) -> T {
    let mut call = peer.call(&request(method), &[]).await.unwrap();
    match tokio::time::timeout(LIMIT, call.next()).await.expect("in time").unwrap() {
        CallEvent::Reply(reply, ..) => codec::decode(&reply.value.expect("a value")).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn attachment(len: u64) -> Attachment {
    Attachment { name: "a".to_owned(), media_type: "a/b".to_owned(), len, tensor: None }
}

fn with_attachments(lens: &[u64]) -> Request {
    Request { attachments: lens.iter().map(|&len| attachment(len)).collect(), ..request("stats") }
}

fn bulk(attachment: u16, len: u32) -> Vec<u8> {
    FrameHeader { kind: FrameKind::Bulk, attachment, len }.encode().to_vec()
}

fn generate(id: &str, item: ItemIndex, change: impl FnOnce(&mut GenerationRequest)) -> Request {
    let mut asked = GenerationRequest { prompt: "x".to_owned(), ..GenerationRequest::default() };
    asked.num_inference_steps = Some(2);
    asked.seed = Some(1);
    change(&mut asked);
    let args = GenerateArgs { request: asked, item, max_queue_position: None, lost: Vec::new() };
    let args = codec::encode(&args).unwrap();
    Request { id: id.parse().unwrap(), args: args.into(), ..request("generate") }
}

/// A request as a program without checks sends it.
#[derive(serde::Serialize)]
struct Unchecked<'a> {
    id: &'a str,
    attempt: u32,
    incarnation: Option<String>,
    method: &'a str,
    args: [u8; 1],
}

const FIRST: ItemIndex = ItemIndex { index: 0, of: 1 };
/// A text that fits into one frame, and into no log line.
const LONG: usize = 1_000_000;

/// Messages that no peer of good will sends, and what each is answered with.
fn malformed() -> Vec<(&'static str, Vec<u8>, ErrorKind)> {
    let protocol = ErrorKind::Protocol;
    let mut cases: Vec<(&str, Vec<u8>, ErrorKind)> = Vec::new();
    let mut endless = FrameHeader::new(FrameKind::Request, 0).encode();
    endless[4..].fill(0xff);
    cases.push(("4 GiB declared", endless.to_vec(), ErrorKind::TooLarge));
    let nested = vec![0x91; 1 << 20];
    cases.push(("1 MiB of 0x91", raw_frame(FrameKind::Request, &nested), protocol));
    for kind in [0, 11, 255] {
        cases.push(("an unknown kind", vec![kind, 0, 0, 0, 0, 0, 0, 0], protocol));
    }
    cases.push(("a reserved byte", vec![3, 1, 0, 0, 0, 0, 0, 0], protocol));
    cases.push(("another kind", raw_frame(FrameKind::Reply, codec::EMPTY), protocol));
    let whole = message(&request("stats"));
    cases.push(("half a header", whole[..4].to_vec(), protocol));
    cases.push(("half a message", whole[..20].to_vec(), protocol));
    cases.push(("no end", frame(FrameKind::Request, &request("stats")), protocol));
    cases.push(("nothing", Vec::new(), protocol));
    let mut trailing = codec::encode(&request("stats")).unwrap();
    trailing.push(0);
    cases.push(("trailing bytes", raw_frame(FrameKind::Request, &trailing), protocol));

    let many = with_attachments(&[1; 65]);
    cases.push(("65 attachments", message(&many), ErrorKind::TooLarge));
    for lens in [vec![200 << 20; 2], vec![u64::MAX; 2], vec![u64::MAX]] {
        cases.push(("huge attachments", message(&with_attachments(&lens)), ErrorKind::TooLarge));
    }
    let mut stray = |name, header: Vec<u8>| {
        let mut bytes = frame(FrameKind::Request, &with_attachments(&[100]));
        bytes.extend(header);
        bytes.extend([0; 101]);
        cases.push((name, bytes, protocol));
    };
    stray("another attachment's bulk", bulk(1, 100));
    stray("bulk beyond its attachment", bulk(0, 101));
    stray("empty bulk", bulk(0, 0));
    stray("an end in place of bulk", end().to_vec());
    stray("bulk cut off", bulk(0, 100)[..4].to_vec());

    let long = "x".repeat(LONG);
    let unknown = ErrorKind::UnknownMethod;
    cases.push(("a long method", message(&request(&long)), unknown));
    let control = "\u{1b}[31m\n".repeat(1000);
    cases.push(("a method of control characters", message(&request(&control)), unknown));
    for (name, id, run) in [
        ("a long id", long.as_str(), None),
        ("an id with a path", "../up", None),
        ("an empty id", "", None),
        ("a run of no digits", "a", Some("z".repeat(LONG / 2))),
    ] {
        let unchecked =
            Unchecked { id, attempt: 0, incarnation: run, method: "stats", args: [0x80] };
        let mut bytes = frame(FrameKind::Request, &unchecked);
        bytes.extend(end());
        cases.push((name, bytes, protocol));
    }
    let earlier = Request { incarnation: Some(Incarnation::from_bits(7)), ..request("stats") };
    cases.push(("another run", message(&earlier), ErrorKind::StaleIncarnation));
    cases.push((
        "an administrator's call",
        message(&request("shutdown")),
        ErrorKind::PermissionDenied,
    ));

    let invalid = ErrorKind::InvalidArgument;
    let mut asked = |name, item, kind, change: &dyn Fn(&mut GenerationRequest)| {
        cases.push((name, message(&generate("asked", item, change)), kind));
    };
    asked("NaN", FIRST, invalid, &|r| r.guidance_scale = Some(f64::NAN));
    asked("infinite", FIRST, invalid, &|r| r.eta = Some(f64::INFINITY));
    asked("a wide picture", FIRST, invalid, &|r| r.width = Some(u32::MAX));
    asked("a large picture", FIRST, invalid, &|r| {
        (r.width, r.height) = (Some(u32::MAX), Some(u32::MAX));
    });
    asked("many steps", FIRST, invalid, &|r| r.num_inference_steps = Some(u32::MAX));
    asked("a long prompt", FIRST, invalid, &|r| r.prompt = "x".repeat(LONG));
    asked("a long model", FIRST, ErrorKind::UnknownModel, &|r| r.model = Some("x".repeat(LONG)));
    asked("a long scheduler", FIRST, invalid, &|r| r.scheduler = Some("x".repeat(LONG)));
    let overrides = |r: &mut GenerationRequest| {
        r.scheduler = Some(format!("euler:{}", "a=1,".repeat(200_000)));
    };
    asked("many overrides", FIRST, invalid, &overrides);
    asked("an item beyond", ItemIndex { index: 1, of: 1 }, invalid, &|_| ());
    asked("items that were not asked for", ItemIndex { index: 9, of: 10 }, invalid, &|_| ());
    asked("no item", ItemIndex { index: 0, of: 0 }, invalid, &|_| ());
    let garbage = Request { args: nested.into(), ..request("cancel") };
    // The arguments are one byte too long for a frame of their own.
    let garbage = Request { args: garbage.args[..LONG].to_vec().into(), ..garbage };
    cases.push(("nested arguments", message(&garbage), invalid));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_malformed_has_a_typed_answer_and_costs_nothing() {
    let _turn = hearth_tests::Turn::take();
    let mut fleet = fleet();
    let endpoint = endpoint(credentials(&fleet.pki("coordinator-c0")));
    let connection = connect(&endpoint, fleet.address(0)).await;
    let quiet = fleet.workers[0].log().len();
    // Once for what is taken at first use, and then again for what it costs.
    let mut before = 0;
    for round in 0..3 {
        for (name, bytes, kind) in malformed() {
            let (error, len) = refusal(&connection, &bytes)
                .await
                .unwrap_or_else(|error| panic!("{name} ({} bytes): {error}", bytes.len()));
            assert_eq!(error.kind, kind, "{name}: {error}");
            assert!(len < 16 << 10, "{name} is answered with {len} bytes");
        }
        if round == 0 {
            before = resident(&fleet);
        }
    }
    let after = resident(&fleet);
    assert!(after < before + before / 10, "{before} KiB before, {after} KiB after");
    // Two declared sizes alone: nothing of them is there.
    let declared = resident(&fleet);
    let (_hold, _) = declare_most(&connection).await;
    let grown = resident(&fleet).saturating_sub(declared);
    assert!(grown < 4 << 10, "{grown} KiB for what was only declared");

    let twice = generate("twice", FIRST, |_| ());
    let (_send, receive) = send(&connection, &message(&twice)).await;
    assert_eq!(reply(receive).await.unwrap().0.error, None);
    let other = generate("twice", FIRST, |request| request.seed = Some(2));
    let (error, _) = refusal(&connection, &message(&other)).await.unwrap();
    assert_eq!(error.kind, ErrorKind::IdConflict, "{error}");
    let timeless = Request { deadline_ms: Some(u64::MAX), ..twice };
    let (_send, receive) = send(&connection, &message(&timeless)).await;
    assert_eq!(reply(receive).await.unwrap().0.error, None);

    let (_connector, peer) = peer(&fleet).await;
    let stats: Stats = call(&peer, "stats").await;
    assert_eq!((stats.running, stats.done, stats.steps), (0, 1, 2));
    assert!(fleet.workers[0].ended().is_none());
    let log = fleet.workers[0].log().split_off(quiet);
    assert!(log.lines().count() < 10 && log.len() < 4 << 10, "{log:.4000}");
}

/// Declares frames and attachments of the largest sizes, and sends nothing of them.
async fn declare_most(
    connection: &quinn::Connection,
) -> (Vec<quinn::SendStream>, Vec<quinn::RecvStream>) {
    let mut streams = (Vec::new(), Vec::new());
    for _ in 0..16 {
        let (mut send, receive) = connection.open_bi().await.unwrap();
        let mut bytes = frame(FrameKind::Request, &with_attachments(&[200 << 20]));
        bytes.extend(bulk(0, 1 << 20));
        send.write_all(&bytes).await.unwrap();
        streams.0.push(send);
        streams.1.push(receive);
    }
    // A call after them: they have been read.
    let _ = refusal(connection, &message(&request("none"))).await.unwrap();
    streams
}

/// Certificates that must not pass, made with the fleet's own authority where it takes one.
fn strangers(fleet: &Fleet) -> Vec<(&'static str, Credentials)> {
    let authority = fleet.dir().join("authority");
    let read = |path: &str| std::fs::read_to_string(authority.join(path)).unwrap();
    let (ca, ca_key) = (read("ca.crt"), read("ca.key"));
    let issuer = || Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&ca_key).unwrap()).unwrap();
    let leaf = |change: &dyn Fn(&mut CertificateParams)| -> Credentials {
        let mut params = CertificateParams::default();
        let uri = "spiffe://test/hearth/coordinator/c9".try_into().unwrap();
        params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = params.signed_by(&key, &issuer()).unwrap();
        Some((
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        ))
    };
    let year = rcgen::date_time_ymd;
    let uri = |text: &str| rcgen::SanType::URI(text.try_into().unwrap());
    let other = Fleet::start(FleetOptions { workers: 0, ..FleetOptions::default() });
    let ca_chain = vec![rustls::pki_types::CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()];
    let ca_key = PrivateKeyDer::from_pem_slice(ca_key.as_bytes()).unwrap();
    vec![
        ("no certificate", None),
        ("another authority's", credentials(&other.pki("coordinator-c0"))),
        ("a worker's", credentials(&fleet.pki("worker-w1"))),
        ("the authority's own", Some((ca_chain, ca_key))),
        ("an expired one", leaf(&|p| p.not_after = year(2020, 1, 1))),
        ("one of the future", leaf(&|p| p.not_before = year(2999, 1, 1))),
        (
            "one for servers",
            leaf(&|p| p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]),
        ),
        ("one without a role", leaf(&|p| p.subject_alt_names = Vec::new())),
        (
            "one with two roles",
            leaf(&|p| p.subject_alt_names.push(uri("spiffe://test/hearth/admin/c9"))),
        ),
        (
            "another cluster's",
            leaf(&|p| p.subject_alt_names = vec![uri("spiffe://other/hearth/admin/c9")]),
        ),
        (
            "one of its own",
            leaf(&|p| p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_end_in_the_handshake_with_one_log_line_each() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let refused = |log: &str| log.lines().filter(|line| line.contains("refused")).count();
    // Each from an address of its own: of one peer and cause there is one line in a while.
    for (host, (name, credentials)) in (2..).zip(strangers(&fleet)) {
        let before = refused(&fleet.workers[0].log());
        let endpoint = client::endpoint_at([127, 0, 0, host], credentials);
        let error = greet(&endpoint, fleet.address(0), "stranger/1").await;
        assert!(error.is_err(), "{name} was let in");
        until("the worker says so", LIMIT, || {
            (refused(&fleet.workers[0].log()) > before).then_some(())
        });
        let log = fleet.workers[0].log();
        assert_eq!(refused(&log), before + 1, "{name}: {log}");
        assert!(!log.contains("stranger/1"), "{name}: no byte of a call is read: {log}");
    }
    // And what is no TLS at all, or no QUIC.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let lines = fleet.workers[0].log().lines().count();
    for len in [0, 1, 20, 1200, 1500] {
        for byte in [0, 0x40, 0xc0, 0xff] {
            socket.send_to(&vec![byte; len], fleet.address(0)).unwrap();
        }
    }
    let (_connector, peer) = peer(&fleet).await;
    let stats: Stats = call(&peer, "stats").await;
    assert_eq!(stats.connections, 1);
    assert!(fleet.workers[0].log().lines().count() <= lines + 1);
}
