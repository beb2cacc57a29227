//! Many callers who know nothing of each other: their pictures are spread over the workers, and who
//! finds all of them full waits for a place.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]
#![expect(clippy::print_stdout, reason = "the figures are of interest, shown with --nocapture")]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hearth_api::request::GenerationRequest;
use hearth_engine::Engine;
use hearth_fabric::identity::Identity;
use hearth_tests::{Fleet, FleetOptions, Run, until};

/// Starts `hearth generate` for one picture of so many steps.
fn client(fleet: &Fleet, name: &str, steps: u32, more: &[&str]) -> Child {
    let (file, steps) = (format!("{name}.png"), steps.to_string());
    let args = ["generate", "red heart", "--steps", &steps, "-o", &file];
    let mut command = fleet.command(&[&args, more].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the command starts")
}

fn end(client: Child) -> Run {
    Run::from(client.wait_with_output().expect("the command ends"))
}

/// Pictures that each worker has made since `before`.
fn made(fleet: &Fleet, before: &[u64]) -> Vec<u64> {
    fleet.stats("done").iter().zip(before).map(|(now, before)| now - before).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_know_nothing_of_each_other_share_three_workers() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions { workers: 3, ..FleetOptions::default() });

    let before = fleet.stats("done");
    let start = Instant::now();
    let clients: Vec<_> = (0..9).map(|i| client(&fleet, &format!("c{i}"), 30, &[])).collect();
    for client in clients {
        let _ = end(client).ok();
    }
    let spread = made(&fleet, &before);
    println!("nine clients of one picture: {spread:?} in {:?}", start.elapsed());
    assert_eq!(spread.iter().sum::<u64>(), 9, "none is made twice: {spread:?}");
    assert!(spread.iter().all(|&count| count <= 4), "{spread:?}");

    let before = fleet.stats("done");
    let engine = async |name: &str| {
        let identity = Identity::load(&fleet.pki(name)).expect("identity");
        let engine = Engine::connect(fleet.registry(), identity).expect("engine");
        engine.wait_ready(3, Duration::from_secs(20)).await.expect("ready");
        engine
    };
    let engines = [engine("coordinator-c0").await, engine("coordinator-c1").await];
    let request = || GenerationRequest {
        num_inference_steps: Some(20),
        ..GenerationRequest::new("red heart")
    };
    let run = async |engine: &Engine| engine.step((0..6).map(|_| request()).collect()).await;
    for outputs in join_all(engines.iter().map(run)).await {
        assert!(outputs.iter().all(Result::is_ok), "{outputs:?}");
    }
    for engine in engines {
        engine.close().await;
    }
    let spread = made(&fleet, &before);
    println!("two engines of six requests: {spread:?}");
    assert_eq!(spread.iter().sum::<u64>(), 12, "none is made twice: {spread:?}");
    assert!(spread.iter().all(|&count| (2..=6).contains(&count)), "{spread:?}");
}

#[test]
fn clients_wait_where_the_queue_is_full_unless_they_say_not_to() {
    let _turn = hearth_tests::Turn::take();
    let worker = "queue = 2\nmax_batch = 1".to_owned();
    let fleet = Fleet::start(FleetOptions { worker, ..FleetOptions::default() });

    let clients: Vec<_> = (0..10).map(|i| client(&fleet, &format!("q{i}"), 5, &[])).collect();
    for client in clients {
        let _ = end(client).ok();
    }
    assert_eq!(fleet.stats("done"), [10]);
    println!("ten clients of a queue of two: {:?} refusals", fleet.stats("refused"));

    let long: Vec<_> =
        (0..3).map(|i| client(&fleet, &format!("l{i}"), 1000, &["--set", &id(i)])).collect();
    until("the queue is full", Duration::from_secs(30), || {
        (fleet.stats("running") == [1] && fleet.stats("queued") == [2]).then_some(())
    });
    let refused = end(client(&fleet, "no", 5, &["--no-wait"]));
    assert_eq!(refused.status, 3, "{refused:?}");
    assert!(refused.stderr.contains("worker.queue allows no more"), "{refused:?}");
    let late = end(client(&fleet, "late", 5, &["--timeout", "2s"]));
    assert!([3, 4].contains(&late.status), "full, or over its time: {late:?}");

    let waiting = client(&fleet, "patient", 5, &[]);
    for i in 0..3 {
        let _ = fleet.hearth(&["cancel", &format!("long-{i}")]).ok();
    }
    let _ = end(waiting).ok();
    long.into_iter().for_each(|client| assert_ne!(end(client).status, 0, "it was cancelled"));
}

/// A request's id, as a flag.
fn id(number: u32) -> String {
    format!("id=long-{number}")
}
