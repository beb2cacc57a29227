//! Faults of real processes: workers that are killed or frozen in the middle of a picture, and
//! coordinators that die and come back.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]
#![expect(clippy::print_stdout, reason = "the figures are of interest, shown with --nocapture")]

use std::time::{Duration, Instant};

use hearth_api::request::GenerationRequest;
use hearth_engine::{Engine, RequestEvent, Submission};
use hearth_fabric::identity::Identity;
use hearth_tests::{Fleet, FleetOptions, Process, until};

fn fleet(workers: usize) -> Fleet {
    Fleet::start(FleetOptions { workers, fixed_ports: true, ..FleetOptions::default() })
}

async fn coordinator(fleet: &Fleet, workers: usize) -> Engine {
    let identity = Identity::load(&fleet.pki("coordinator-c0")).expect("identity");
    let engine = Engine::connect(fleet.registry(), identity).expect("engine");
    engine.wait_ready(workers, Duration::from_secs(20)).await.expect("ready");
    engine
}

fn request(id: &str, images: u32, steps: u32) -> GenerationRequest {
    GenerationRequest {
        id: Some(id.parse().expect("an id")),
        prompt: "red heart".to_owned(),
        num_images: Some(images),
        num_inference_steps: Some(steps),
        seed: Some(7),
        ..GenerationRequest::default()
    }
}

/// Waits until as many images compute as there are.
async fn until_all_run(submission: &mut Submission) {
    let mut running = std::collections::BTreeSet::new();
    while running.len() < submission.items as usize {
        match submission.next().await.expect("the request runs") {
            RequestEvent::Progress { item, step: 1.., .. } => drop(running.insert(item)),
            RequestEvent::Finished(output) => panic!("it is over: {output:?}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_or_frozen_worker_s_pictures_are_made_elsewhere() {
    let _turn = hearth_tests::Turn::take();
    let mut fleet = fleet(2);
    let engine = coordinator(&fleet, 2).await;

    // Killed, and started again on its port: the first packet to the new run says so.
    let mut submission = engine.submit(request("killed", 2, 150)).await.expect("accepted");
    until_all_run(&mut submission).await;
    fleet.workers[1].signal("KILL");
    let _ = fleet.workers[1].wait(Duration::from_secs(5));
    let start = Instant::now();
    fleet.workers[1] = fleet.start_worker(1);
    let retried = loop {
        match submission.next().await.expect("the request goes on") {
            RequestEvent::Retried { error, .. } => break error,
            RequestEvent::Finished(output) => panic!("not tried again: {output:?}"),
            _ => {}
        }
    };
    // How long the pictures then take is the machine's own pace.
    let noticed = start.elapsed();
    println!("noticed {noticed:?} after the new start: {retried}");
    assert!(noticed < Duration::from_secs(30));
    let output = submission.finish().await.expect("both pictures");
    assert!(output.items.iter().all(Result::is_ok), "{:?}", output.error);
    engine.wait_ready(2, Duration::from_secs(30)).await.expect("both are back");

    // Frozen: nobody says so, and its picture is made elsewhere within the idle timeout.
    let mut submission = engine.submit(request("frozen", 2, 150)).await.expect("accepted");
    until_all_run(&mut submission).await;
    fleet.workers[1].signal("STOP");
    let start = Instant::now();
    loop {
        match submission.next().await.expect("the request goes on") {
            RequestEvent::Retried { .. } => break,
            RequestEvent::Finished(output) => panic!("not tried again: {output:?}"),
            _ => {}
        }
    }
    println!("frozen, noticed after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let output = submission.finish().await.expect("both pictures");
    assert!(output.items.iter().all(Result::is_ok), "{:?}", output.error);
    fleet.workers[1].signal("CONT");
    engine.wait_ready(2, Duration::from_secs(30)).await.expect("it is taken up again");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_comes_back_finds_what_it_asked_for() {
    let _turn = hearth_tests::Turn::take();
    let mut fleet = fleet(1);
    let first = coordinator(&fleet, 1).await;
    let mut lost = first.submit(request("again", 1, 100)).await.expect("accepted");
    until_all_run(&mut lost).await;
    // To the worker this is a coordinator that was killed: its connection ends without a word.
    drop((lost, first));
    let second = coordinator(&fleet, 1).await;
    let run = || async { second.submit(request("again", 1, 100)).await?.finish().await };
    let attached = run().await.expect("the same request");
    let kept = run().await.expect("the kept result");
    let sha = |output: &hearth_engine::RequestOutput| {
        output.items[0].as_ref().expect("a picture").sha256.clone()
    };
    assert_eq!(sha(&attached), sha(&kept));
    println!("steps {:?}, done {:?}", fleet.stats("steps"), fleet.stats("done"));

    // SIGTERM in the middle of a picture: it is finished and delivered, then the worker ends.
    let mut submission = second.submit(request("last", 1, 100)).await.expect("accepted");
    until_all_run(&mut submission).await;
    fleet.workers[0].signal("TERM");
    let output = submission.finish().await.expect("the accepted request is finished");
    assert!(output.items[0].is_ok());
    let worker: &mut Process = &mut fleet.workers[0];
    assert_eq!(worker.wait(Duration::from_secs(15)).code(), Some(0), "{}", worker.log());
    until("the record is gone", Duration::from_secs(5), || {
        let workers = fleet.hearth(&["workers", "--json"]);
        (!workers.stdout.contains("\"w0\"")).then_some(())
    });
    second.close().await;
}
