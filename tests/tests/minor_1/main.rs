//! Peers of minor 1 and of ours make pictures with each other, in both directions. The other side
//! speaks by the bytes of minor 1 alone (`wire.rs`), over the QUIC that both share.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

#[expect(dead_code, reason = "the tests of hostile peers use the rest")]
#[path = "../raw/client.rs"]
mod client;
#[path = "../raw/server.rs"]
mod server;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{LIMIT, credentials, end, endpoint, frames, raw_frame};
use hearth_engine::{Backends, Config, Engine, GenerationRequest, MediaFacts, Rank};
use hearth_protocol::frame::{FrameHeader, FrameKind};
use hearth_protocol::record::WorkerRecord;
use hearth_tests::{Fleet, FleetOptions};
use server::{Answer, RawWorker};
use wire::{decode, encode};

fn fleet() -> Fleet {
    Fleet::start(FleetOptions { fixed_ports: true, ..FleetOptions::default() })
}

/// Sends a message on a stream of its own, and gives all frames that come back.
async fn exchange(
    connection: &quinn::Connection,
    kind: FrameKind,
    payload: &[u8],
) -> Vec<(FrameKind, Vec<u8>)> {
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    let message = [raw_frame(kind, payload), end().to_vec()].concat();
    send.write_all(&message).await.expect("the worker reads");
    send.finish().expect("a stream");
    let all = tokio::time::timeout(LIMIT, receive.read_to_end(8 << 20)).await;
    frames(&all.expect("in time").expect("a whole answer"))
}

fn payload(frames: &[(FrameKind, Vec<u8>)], wanted: FrameKind) -> &[u8] {
    let found = frames.iter().find(|(kind, _)| *kind == wanted);
    &found.unwrap_or_else(|| panic!("no {wanted:?}")).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_minor_1_gets_its_picture_from_our_worker() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let endpoint = endpoint(credentials(&fleet.pki("coordinator-c0")));
    let connecting = endpoint.connect(fleet.address(0), "hearth").expect("an address");
    let connection = connecting.await.expect("a connection");
    let hello = wire::Hello {
        protocol: wire::RANGE,
        agent: "hearth/0.1.0".to_owned(),
        capabilities: Vec::new(),
    };
    let greeted = exchange(&connection, FrameKind::Hello, &encode(&hello)).await;
    let welcome: wire::Welcome = decode(payload(&greeted, FrameKind::Welcome));
    assert_eq!(welcome.minor, 1);

    let part = wire::Part { index: 1, of: 2 };
    let args = wire::GenerateArgs {
        request: wire::Generation {
            prompt: "red heart".to_owned(),
            num_images: Some(2),
            num_inference_steps: Some(2),
            seed: Some(7),
        },
        part,
    };
    let request = wire::Request {
        id: "r-minor-1".to_owned(),
        attempt: 0,
        incarnation: Some(welcome.incarnation.clone()),
        method: "generate".to_owned(),
        args: encode(&args).into(),
        deadline_ms: Some(60_000),
    };
    let answered = exchange(&connection, FrameKind::Request, &encode(&request)).await;
    let progress: wire::Progress = decode(payload(&answered, FrameKind::Progress));
    assert!(progress.steps <= 2 && progress.step <= progress.steps, "{progress:?}");
    let reply: wire::Reply = decode(payload(&answered, FrameKind::Reply));
    assert_eq!((reply.attempt, &reply.incarnation), (0, &welcome.incarnation));
    assert!(reply.error.is_none(), "{:?}", reply.error);
    let generated: wire::Generated = decode(&reply.value.expect("a value"));
    assert_eq!((generated.part, generated.seed, generated.steps), (part, 8, 2));
    assert_eq!((generated.width, generated.height), (64, 64));
    assert_eq!(generated.finish_reason, "done");
    let [attachment] = &reply.attachments[..] else { panic!("{:?}", reply.attachments) };
    assert_eq!(attachment.media_type, "image/png");
    let picture = payload(&answered, FrameKind::Bulk);
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(picture.len() as u64, attachment.len);
}

/// A worker of minor 1. It knows one method, and makes one picture.
struct Older(WorkerRecord);

/// Its one picture, which nobody decodes.
const PICTURE: &[u8] = b"\x89PNG of minor 1";

impl Older {
    fn incarnation(&self) -> String {
        self.0.incarnation.to_string()
    }

    fn welcome(&self) -> wire::Welcome {
        wire::Welcome {
            minor: 1,
            agent: "hearth-worker/0.1.0".to_owned(),
            capabilities: Vec::new(),
            worker_id: self.0.worker_id.to_string(),
            group: self.0.group.to_string(),
            rank: Some(self.0.rank.0),
            incarnation: self.incarnation(),
        }
    }

    fn reply(&self, request: &wire::Request) -> Vec<u8> {
        let mut reply = wire::Reply {
            attempt: request.attempt,
            incarnation: self.incarnation(),
            value: None,
            error: None,
            attachments: Vec::new(),
        };
        let mut picture = Vec::new();
        if request.method == "generate" {
            let args: wire::GenerateArgs = decode(&request.args);
            reply.value = Some(encode(&generated(&args)).into());
            let len = PICTURE.len() as u64;
            let (name, media_type) = ("image".to_owned(), "image/png".to_owned());
            reply.attachments = vec![wire::Attachment { name, media_type, len }];
            let len = u32::try_from(len).expect("a small picture");
            let header = FrameHeader { kind: FrameKind::Bulk, attachment: 0, len };
            picture = [&header.encode(), PICTURE].concat();
        } else {
            reply.error = Some(wire::CallError {
                kind: "unknown_method".to_owned(),
                message: format!("{} is unknown", request.method),
                retryable: false,
            });
        }
        let trailer = raw_frame(FrameKind::Trailer, &encode(&wire::Trailer { spans: [] }));
        [raw_frame(FrameKind::Reply, &encode(&reply)), picture, trailer].concat()
    }
}

fn generated(args: &wire::GenerateArgs) -> wire::Generated {
    wire::Generated {
        part: args.part,
        seed: args.request.seed.expect("a drawn seed") + u64::from(args.part.index),
        media_type: "image/png".to_owned(),
        sha256: "00".repeat(32),
        width: 64,
        height: 48,
        steps: 2,
        timings: BTreeMap::from([("generation".to_owned(), 1.0)]),
        warnings: Vec::new(),
        finish_reason: "done".to_owned(),
    }
}

impl Answer for Older {
    fn answer(&self, kind: FrameKind, payload: &[u8]) -> Vec<u8> {
        if kind == FrameKind::Hello {
            let hello: wire::Hello = decode(payload);
            assert!(hello.protocol.min <= 1 && hello.protocol.max >= 1, "{hello:?}");
            return raw_frame(FrameKind::Welcome, &encode(&self.welcome()));
        }
        self.reply(&decode(payload))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_engine_takes_a_picture_from_a_worker_of_minor_1() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let _older = RawWorker::start(&fleet, |record| Arc::new(Older(record))).await;
    let text = format!(
        "[executor]\nworkers = [\"w1\"]\nmin_workers = 1\n[registry]\nurl = {:?}\n[tls]\ndir = {:?}\n",
        fleet.registry(),
        fleet.pki("coordinator-c0"),
    );
    let backends = Backends::builtin();
    let config = Config::parse(&text, &backends).expect("a config");
    let engine = Engine::start(&config, &backends, "test/0").await.expect("an engine");
    engine.wait_ready(1, LIMIT).await.expect("it is there");
    let request = GenerationRequest {
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(2),
        num_images: Some(2),
        seed: Some(7),
        ..GenerationRequest::default()
    };
    let output = engine.step(vec![request]).await.remove(0).expect("both pictures");
    for (index, item) in output.items.iter().enumerate() {
        let item = item.as_ref().expect("a picture");
        assert_eq!((item.seed, item.rank), (7 + index as u64, Some(Rank(1))));
        assert_eq!(item.media, MediaFacts::Image { width: 64, height: 48 });
        assert_eq!(&item.bytes[..], PICTURE);
    }
    engine.close().await;

    // What it doesn't know is said with its version, and what to do.
    let run = fleet.hearth(&["logs", "w1"]);
    assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run:?}");
    let version = env!("CARGO_PKG_VERSION");
    let reason = format!("worker w1 runs Hearth {version}, which has no logs method: upgrade it");
    assert!(run.stderr.contains(&reason), "{run:?}");
    let both = fleet.hearth(&["logs", "w0", "w1"]);
    assert_eq!(both.status, 1, "{both:?}");
    assert!(both.stdout.contains("w0 | ") && both.stderr.contains(&reason), "{both:?}");
}
