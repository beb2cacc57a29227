//! A worker that lets everybody in and answers for another attempt, or as another run: what a late
//! reply of before a restart would be, sent on purpose. Its callers must not take it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use hearth_api::Incarnation;
use hearth_engine::{Backends, Config, Engine, ErrorKind, GenerationRequest, Rank, RpcOptions};
use hearth_protocol::codec;
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{Reply, Request, Trailer};
use hearth_protocol::record::WorkerRecord;
use hearth_protocol::version::Welcome;
use hearth_tests::Fleet;

use super::client::{LIMIT, frame};
use super::fleet;
use super::server::{Answer, RawWorker};

fn run(bits: u128) -> Incarnation {
    Incarnation::from_bits(bits)
}

/// What is wrong with its answers.
#[derive(Debug, Clone, Copy)]
enum Lie {
    Attempt,
    Run,
}

/// What it answers, and what it has answered.
struct Answers {
    record: WorkerRecord,
    lie: Mutex<Lie>,
    /// Calls of `generate` that it has answered.
    answered: AtomicU32,
}

struct Impostor {
    answers: Arc<Answers>,
    _worker: RawWorker,
}

impl Impostor {
    /// The worker `w1`, beside the fleet's own, with its models.
    async fn start(fleet: &Fleet) -> Self {
        let mut kept = None;
        let worker = RawWorker::start(fleet, |record| {
            let (lie, answered) = (Mutex::new(Lie::Attempt), AtomicU32::new(0));
            Arc::clone(kept.insert(Arc::new(Answers { record, lie, answered })))
        })
        .await;
        Self { answers: kept.expect("the worker's answers"), _worker: worker }
    }

    fn will(&self, lie: Lie) {
        *self.answers.lie.lock().expect("no panic") = lie;
    }

    fn answered(&self) -> u32 {
        self.answers.answered.load(Ordering::SeqCst)
    }
}

impl Answer for Answers {
    fn answer(&self, kind: FrameKind, payload: &[u8]) -> Vec<u8> {
        match kind {
            FrameKind::Hello => frame(FrameKind::Welcome, &self.welcome()),
            _ => self.reply(&codec::decode(payload).expect("a request")),
        }
    }
}

impl Answers {
    fn welcome(&self) -> Welcome {
        Welcome {
            minor: hearth_protocol::version::MINOR,
            agent: "impostor/1".to_owned(),
            capabilities: Vec::new(),
            worker_id: self.record.worker_id.clone(),
            group: self.record.group.clone(),
            rank: Some(self.record.rank),
            incarnation: run(1),
            load: None,
        }
    }

    fn reply(&self, request: &Request) -> Vec<u8> {
        if request.method == "generate" {
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
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
    let _turn = hearth_tests::Turn::take();
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
