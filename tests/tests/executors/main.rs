//! One suite over all executors, with real processes: `external` on the `dir` registry, `mp`,
//! `launched` on the process launcher, a systemd user manager and a one-node Slurm, and one that a
//! program registered.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

mod killed;
mod place;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hearth_engine::blocking;
use hearth_engine::{
    Backends, Config, ErrorKind, GenerationRequest, Rank, RpcOptions, WorkerStatus,
};
use hearth_tests::SlurmCluster;
use place::{Place, SOON, WORKERS, lives, owning, until_workers, workers_of};
use serde_json::json;

fn request(seed: u64) -> GenerationRequest {
    GenerationRequest {
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(2),
        seed: Some(seed),
        ..GenerationRequest::default()
    }
}

async fn conforms(place: Place) {
    requests(&place).await;
    collective(&place).await;
    death(&place).await;
    close(place).await;
}

async fn requests(place: &Place) {
    let refused = GenerationRequest { width: Some(7), ..request(0) };
    let outputs = place.engine.step(vec![request(1), refused, request(3)]).await;
    let seeds = |i: usize| outputs[i].as_ref().map(|output| output.seed);
    assert_eq!((seeds(0), seeds(2)), (Ok(1), Ok(3)));
    let error = outputs[1].as_ref().expect_err("a width of 7");
    assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
    let both = GenerationRequest { num_images: Some(2), ..request(7) };
    let images = place.engine.step(vec![both]).await.remove(0).expect("two images").items;
    let ranks = images.iter().map(|image| image.as_ref().expect("an image").rank);
    let ranks: BTreeSet<_> = ranks.collect();
    assert_eq!(ranks, [Some(Rank(0)), Some(Rank(1))].into(), "spread over both");
}

async fn collective(place: &Place) {
    let call =
        async |method: &str, options| place.engine.collective_rpc(method, json!({}), options).await;
    let plain = RpcOptions::default();
    let all = call("get_rank", plain.clone()).await.expect("a call");
    let ranks: Vec<_> = all.iter().map(|envelope| envelope.rank).collect();
    assert_eq!(ranks, [Some(Rank(0)), Some(Rank(1))]);
    assert!(all.iter().all(|envelope| envelope.outcome.is_ok()), "{all:?}");

    let one = plain.clone().rank(Rank(1));
    let one = call("get_rank", one).await.expect("a call");
    assert_eq!((one.len(), one[0].rank), (1, Some(Rank(1))));
    let before = place.stats().await;
    let unique = plain.clone().reply_rank(Rank(0));
    let unique = call("get_rank", unique).await.expect("a call");
    assert_eq!((unique.len(), unique[0].rank), (1, Some(Rank(0))));
    assert_eq!(before.len(), WORKERS);

    let refused = async |method: &str, options| {
        call(method, options).await.expect_err("a refusal").to_string()
    };
    let far = plain.clone().rank(Rank(9));
    assert!(refused("get_rank", far).await.contains("there are 0 to 1"));
    let other = plain.clone().rank(Rank(0)).reply_rank(Rank(1));
    assert!(refused("get_rank", other).await.contains("reply_rank"));
    let never = plain.clone().timeout(Duration::ZERO);
    assert!(refused("get_rank", never).await.contains("timeout is 0"));

    for envelope in call("execute_model", plain.clone()).await.expect("a call") {
        let error = envelope.outcome.expect_err("no such method");
        assert_eq!(error.kind, ErrorKind::UnknownMethod);
        assert!(error.message.contains("is called generate"), "{error}");
        assert_eq!((error.worker, error.rank), (Some(envelope.worker), envelope.rank));
    }
    let wrong = place.engine.collective_rpc("cancel", json!({"request_id": 5}), plain).await;
    for envelope in wrong.expect("a call") {
        let error = envelope.outcome.expect_err("no request id");
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
    }
}

/// A worker dies: the other goes on, an owned one comes back, and why it died is known.
async fn death(place: &Place) {
    let pids: Vec<u32> = place.stats().await.iter().map(|stats| stats.pid).collect();
    kill(pids[1]);
    if !place.owns {
        place.until("the loss", |view| view.ready().count() == WORKERS - 1).await;
        assert!(place.engine.step(vec![request(1)]).await[0].is_ok());
        return;
    }
    let died = |view: &hearth_engine::FleetView| {
        let exit = view.workers[1].last_exit.as_deref();
        exit.is_some_and(|exit| exit.contains("signal 9"))
    };
    place.until("the cause", died).await;
    assert!(place.engine.step(vec![request(1)]).await[0].is_ok(), "the other goes on");
    place.until("the return", |view| view.ready().count() == WORKERS).await;
    let again = place.engine.fleet().borrow().workers[1].incarnation;
    let now: Vec<u32> = place.stats().await.iter().map(|stats| stats.pid).collect();
    assert_eq!(now[0], pids[0], "the other was left alone");
    assert_ne!(now[1], pids[1]);
    if let Some(before) = place.launches() {
        // One that was started again dies too: what was kept of it goes when the next is there.
        kill(now[1]);
        place
            .until("the next return", |view| {
                view.ready().count() == WORKERS && view.workers[1].incarnation != again
            })
            .await;
        assert_eq!((before, place.launches()), (2, Some(2)));
    }
}

/// Closing ends what the engine owns, and nothing else.
async fn close(place: Place) {
    let pids: Vec<u32> = match place.owns {
        true => place.stats().await.iter().map(|stats| stats.pid).collect(),
        false => {
            let ready = place.engine.fleet().borrow().ready().count();
            assert_eq!(ready, WORKERS - 1);
            Vec::new()
        }
    };
    let started = Instant::now();
    place.engine.close().await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(!pids.iter().any(|pid| lives(*pid)), "closing waits for the end");
    let left = std::fs::read_dir(place.dir.path()).expect("a folder").count();
    assert_eq!(left, 0, "nothing of the engine is left");
}

fn kill(pid: u32) {
    hearth_tests::signal(pid, "KILL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn external_conforms() {
    let _turn = hearth_tests::Turn::take();
    conforms(Place::over("external").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mp_conforms() {
    let _turn = hearth_tests::Turn::take();
    conforms(Place::owning("mp").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launched_conforms() {
    let _turn = hearth_tests::Turn::take();
    conforms(Place::owning("launched").await).await;
}

#[test]
fn launched_through_systemd_conforms() {
    hearth_tests::under_user_manager("launched_through_systemd_conforms", |manager| {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(async { conforms(Place::on_systemd().await).await });
        manager.wait_without_replicas();
    });
}

#[test]
fn launched_through_slurm_conforms_and_ends_with_a_killed_engine() {
    let _turn = hearth_tests::Turn::take();
    let cluster = SlurmCluster::start();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async { conforms(Place::on_slurm(&cluster).await).await });
    killed::jobs_of_slurm_are_gone_within_their_grace(&cluster);
    killed::a_start_on_slurm_that_is_asked_to_end_leaves_no_job(&cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_a_program_registered_conforms() {
    let _turn = hearth_tests::Turn::take();
    conforms(Place::over("custom").await).await;
}

#[test]
fn a_program_without_async_code_brings_workers_and_takes_them_down() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().expect("a folder");
    let backends = Backends::builtin();
    let config = Config::parse(&owning("mp", dir.path()), &backends).expect("a config");
    let engine = blocking::Engine::start(&config, &backends, "test/0").expect("an engine");
    assert_eq!(until_workers(dir.path(), WORKERS).len(), WORKERS);
    assert!(engine.step(vec![request(1)])[0].is_ok());
    let events: Vec<_> = engine.submit(request(2)).expect("a request").collect();
    assert!(matches!(events.last(), Some(hearth_engine::RequestEvent::Finished(_))));
    drop(engine);
    assert!(workers_of(dir.path()).is_empty());
}

/// Where a worker can't come up, the start fails with its reason, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let _turn = hearth_tests::Turn::take();
    for backend in ["mp", "launched"] {
        let dir = tempfile::tempdir().expect("a folder");
        let backends = Backends::builtin();
        let text = owning(backend, dir.path()).replace("models/emoji", "models/none");
        let config = Config::parse(&text, &backends).expect("a config");
        let started = Instant::now();
        let failed = hearth_engine::Engine::start(&config, &backends, "test/0").await;
        // A model that is not there may be found out before or after the registration.
        let said = match failed {
            Err(error) => error.to_string(),
            Ok(engine) => {
                let view = engine.fleet();
                let failed = |worker: &hearth_engine::WorkerView| {
                    matches!(worker.status, WorkerStatus::Failed { .. })
                };
                let said = view
                    .borrow()
                    .workers
                    .iter()
                    .find(|w| failed(w))
                    .and_then(|worker| worker.status.reason().map(str::to_owned));
                engine.close().await;
                said.expect("a worker that has failed for good")
            }
        };
        assert!(said.contains("status 2") && said.contains("models/none"), "{backend}: {said}");
        assert!(started.elapsed() < SOON + SOON);
        assert!(workers_of(dir.path()).is_empty(), "{backend}");

        let text = text.replace("hearth-worker", "hearth-werker");
        let config = Config::parse(&text, &backends).expect("a config");
        let failed = hearth_engine::Engine::start(&config, &backends, "test/0").await;
        let mut said = String::new();
        let mut next = failed.as_ref().err().map(|error| error as &dyn std::error::Error);
        while let Some(error) = next {
            said += &format!("{error}: ");
            next = error.source();
        }
        assert!(said.contains("hearth-werker"), "{backend}: {said}");
    }
}
