//! Workers that are lost, in whole or in one direction, that move, and that a request costs.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod support;

use std::collections::BTreeSet;
use std::time::Instant;

use hearth_api::Incarnation;
use hearth_engine::{
    Engine, ErrorKind, GenerationRequest, RequestEvent, RequestOutput, Submission, WorkerStatus,
};
use hearth_tests::{Loss, Relay};
use support::{Behaviour, Cluster, SOON, Worker, settings};

fn request(id: &str, images: u32) -> GenerationRequest {
    GenerationRequest {
        id: Some(id.parse().unwrap()),
        prompt: "red heart".to_owned(),
        num_images: Some(images),
        ..GenerationRequest::default()
    }
}

async fn until_status(engine: &Engine, what: &str, holds: fn(&WorkerStatus) -> bool) {
    let mut fleet = engine.fleet();
    let seen = fleet.wait_for(|view| view.workers.iter().any(|worker| holds(&worker.status)));
    assert!(tokio::time::timeout(SOON, seen).await.is_ok(), "{what} did not come");
}

/// Waits until both workers are ready, and have announced that these runs were lost.
async fn until_known(engine: &Engine, runs: &[Incarnation]) {
    engine.wait_ready(2, SOON).await.unwrap();
    let (id, runs) = ("poison".parse().unwrap(), BTreeSet::from_iter(runs.iter().copied()));
    let mut fleet = engine.fleet();
    let known = fleet.wait_for(|view| view.lost_to(&id).collect::<BTreeSet<_>>() == runs);
    assert!(tokio::time::timeout(SOON, known).await.is_ok(), "{runs:?} are not announced");
}

/// The worker that computes next.
async fn computing(submission: &mut Submission) -> Result<String, RequestOutput> {
    loop {
        match submission.next().await.unwrap() {
            RequestEvent::Progress { worker, .. } => return Ok(worker.to_string()),
            RequestEvent::Finished(output) => return Err(output),
            _ => {}
        }
    }
}

fn generates(workers: &[Worker]) -> u32 {
    workers.iter().map(|worker| worker.state.generates()).sum()
}

#[tokio::test]
async fn a_path_that_is_dead_in_one_direction_is_noticed_within_the_idle_timeout() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    let relay = Relay::start(worker.address, 1);
    worker.advertise(relay.address());
    let engine = cluster.engine();
    let limit = settings().idle_timeout;
    for loss in [Loss { to_worker: 100, from_worker: 0 }, Loss { to_worker: 0, from_worker: 100 }] {
        engine.wait_ready(1, SOON).await.unwrap();
        // Longer than the timeout: a path that works is left alone.
        tokio::time::sleep(limit + limit / 2).await;
        assert_eq!(engine.fleet().borrow().workers[0].status, WorkerStatus::Ready);
        relay.lose(loss);
        let cut = Instant::now();
        until_status(&engine, "the loss", |status| matches!(status, WorkerStatus::Lost { .. }))
            .await;
        // Without questions, one direction takes twice the timeout.
        let noticed = cut.elapsed();
        assert!(noticed + settings().keep_alive < 2 * limit, "{loss:?}: {noticed:?}");
        relay.lose(Loss::default());
    }
    engine.wait_ready(1, SOON).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_moves_is_followed_and_its_items_with_it() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    let (old, new) = (Relay::start(worker.address, 1), Relay::start(worker.address, 1));
    worker.advertise(old.address());
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    worker.will(Behaviour::Hang);
    let mut submission = engine.submit(request("moves", 1)).await.unwrap();
    computing(&mut submission).await.unwrap();
    old.lose(Loss::PARTITION);
    worker.will(Behaviour::Draw);
    worker.advertise(new.address());
    let moved = Instant::now();
    let mut retried = false;
    let output = loop {
        match submission.next().await.unwrap() {
            RequestEvent::Retried { .. } => retried = true,
            RequestEvent::Finished(output) => break output,
            _ => {}
        }
    };
    // The same call, over the new path, before the old one is known to be dead.
    assert!(moved.elapsed() < settings().idle_timeout, "{:?}", moved.elapsed());
    assert!(output.items[0].is_ok() && !retried, "{output:?}");
    assert_eq!(worker.state.generates(), 2);
    assert_eq!(engine.fleet().borrow().workers[0].status, WorkerStatus::Ready);
}

#[tokio::test]
async fn at_most_two_workers_are_lost_to_one_request() {
    for images in [1, 4] {
        let cluster = Cluster::new();
        let mut workers = Vec::new();
        for rank in 0..4 {
            let worker = cluster.worker(rank).await;
            worker.will(Behaviour::Hang);
            workers.push(worker);
        }
        let engine = cluster.engine();
        engine.wait_ready(4, SOON).await.unwrap();
        let mut submission = engine.submit(request("poison", images)).await.unwrap();
        let mut lost = BTreeSet::new();
        let output = loop {
            match computing(&mut submission).await {
                Err(output) => break output,
                Ok(name) if lost.insert(name.clone()) => {
                    let at = workers.iter().position(|worker| worker.id.as_str() == name).unwrap();
                    let _ = workers.remove(at).crash();
                }
                Ok(_) => {}
            }
        };
        let error = output.error.unwrap();
        assert_eq!((error.kind, error.retryable), (ErrorKind::Quarantined, false), "{error}");
        assert!(error.message.contains("request poison"), "{error}");
        assert!(output.items.iter().all(Result::is_err));
        assert_eq!((lost.len(), generates(&workers)), (2, 0), "{images} images");
        // The same id is refused by this engine, another one is not.
        let again = engine.submit(request("poison", images)).await.unwrap().finish().await;
        assert_eq!(again.unwrap_err().kind, ErrorKind::Quarantined);
        assert_eq!(generates(&workers), 0);
        workers.iter().for_each(|worker| worker.will(Behaviour::Draw));
        assert!(engine.submit(request("other", images)).await.unwrap().finish().await.is_ok());
    }
}

#[tokio::test]
async fn what_workers_know_of_a_request_is_added_up_and_passed_on() {
    let cluster = Cluster::new();
    let workers = [cluster.worker(0).await, cluster.worker(1).await];
    let [one, two] = [1, 2].map(Incarnation::from_bits);
    workers[0].suspect("poison", &[one]);
    workers[1].suspect("poison", &[one]);
    let engine = cluster.engine();
    until_known(&engine, &[one]).await;
    let submit =
        async |engine: &Engine| engine.submit(request("poison", 1)).await.unwrap().finish().await;
    let output = submit(&engine).await.unwrap();
    let worker = &output.items[0].as_ref().unwrap().worker;
    let made = workers.iter().find(|known| known.id == *worker).unwrap();
    let (args, ..) = made.state.last.lock().unwrap().clone().unwrap();
    assert_eq!(args.lost, [one]);

    workers[1].suspect("poison", &[two]);
    let other = cluster.engine();
    until_known(&other, &[one, two]).await;
    let before = generates(&workers);
    assert_eq!(submit(&other).await.unwrap_err().kind, ErrorKind::Quarantined);
    assert_eq!(generates(&workers), before);
}
