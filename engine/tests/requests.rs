//! Requests through the engine against real peers: spread, retries, deadlines, cancellation.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hearth_engine::{
    Engine, EngineOptions, ErrorKind, FinishReason, GenerationRequest, NoArgs, Rank, RequestEvent,
    RpcOptions, WorkerId, blocking, call, metrics,
};
use hearth_telemetry::metrics::{BuildInfo, Registry};
use serde_json::json;
use support::{Behaviour, Cluster, SOON, Worker};

fn request(images: u32) -> GenerationRequest {
    GenerationRequest {
        prompt: "red heart".to_owned(),
        num_images: Some(images),
        ..GenerationRequest::default()
    }
}

async fn cancelled(worker: &Worker, times: u32) {
    let started = Instant::now();
    while worker.state.cancelled() < times {
        assert!(started.elapsed() < SOON, "{} was not told", worker.id);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn images_are_spread_and_come_back_in_order() {
    let cluster = Cluster::new();
    let workers = [cluster.worker(0).await, cluster.worker(1).await, cluster.worker(2).await];
    let engine = cluster.engine();
    engine.wait_ready(3, SOON).await.unwrap();
    let asked = GenerationRequest { seed: Some(40), ..request(6) };
    let mut submission = engine.submit(asked).await.unwrap();
    assert_eq!((submission.seed, submission.items), (40, 6));
    let mut assigned = Vec::new();
    let mut finished = None;
    while let Some(event) = submission.next().await {
        assert!(finished.is_none(), "nothing follows the end");
        match event {
            RequestEvent::Assigned { item, rank, .. } => assigned.push((item, rank.unwrap().0)),
            RequestEvent::Finished(output) => finished = Some(output),
            _ => {}
        }
    }
    let (items, ranks): (Vec<u32>, Vec<u32>) = assigned.into_iter().unzip();
    // The first two show that workers live through the request; then come the others.
    assert_eq!(items[..2], [0, 1]);
    assert_ne!(ranks[0], ranks[1]);
    assert_eq!((items.len(), BTreeSet::from_iter(ranks)), (6, BTreeSet::from([0, 1, 2])));
    let output = finished.unwrap();
    assert_eq!(output.finish_reason, FinishReason::Done);
    assert_eq!(output.warnings, ["a warning"]);
    assert!(output.timings["total"] > 0.0);
    for (index, image) in output.items.iter().enumerate() {
        let image = image.as_ref().unwrap();
        assert_eq!(image.index as usize, index);
        assert_eq!(image.seed, 40 + index as u64);
        assert_eq!(image.bytes, format!("image of seed {}", image.seed));
    }
    for worker in &workers {
        assert!((1..=4).contains(&worker.state.generates()));
        assert_eq!(engine.fleet().borrow().worker(&worker.id).unwrap().in_flight.get(), 0);
    }
    let (args, attempt, deadline) = workers[0].state.last.lock().unwrap().clone().unwrap();
    assert_eq!(args.request.model.as_deref(), Some("emoji"));
    assert_eq!(args.request.id.unwrap(), output.id);
    assert_eq!((args.item.of, attempt), (6, 0));
    assert!(deadline.is_some_and(|ms| ms <= 600_000));
}

#[tokio::test]
async fn more_images_than_places_are_all_made() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    let output = engine.submit(request(64)).await.unwrap().finish().await.unwrap();
    assert!(output.items.iter().all(Result::is_ok));
    assert_eq!(worker.state.generates(), 64);
}

#[tokio::test]
async fn step_keeps_the_order_and_one_failure_hides_no_other() {
    let cluster = Cluster::new();
    let _worker = cluster.worker(0).await;
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    let bad = GenerationRequest { num_images: Some(0), ..request(1) };
    let unknown = GenerationRequest { model: Some("sd15".to_owned()), ..request(1) };
    let seeded = GenerationRequest { seed: Some(5), model: Some("demo".to_owned()), ..request(2) };
    let results = engine.step(vec![request(1), bad, unknown, seeded]).await;
    assert_eq!(results[0].as_ref().unwrap().items.len(), 1);
    assert_eq!(results[1].as_ref().unwrap_err().param.as_deref(), Some("num_images"));
    let error = results[2].as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownModel);
    assert!(error.message.contains("emoji"), "{error}");
    assert_eq!(results[3].as_ref().unwrap().seed, 5);
}

#[tokio::test]
async fn steps_wait_for_a_place_and_the_end_of_a_request_gives_it_back() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    let limits = EngineOptions::new().queue(2);
    let engine = Engine::builder(cluster.executor(&cluster.url(), None)).options(limits).build();
    engine.wait_ready(1, SOON).await.unwrap();
    let step = || engine.step((0..5).map(|_| request(1)).collect());
    let (one, other) = tokio::join!(step(), step());
    assert!(one.iter().chain(&other).all(Result::is_ok), "{one:?}, {other:?}");

    let impatient = GenerationRequest { deadline_ms: Some(50), ..request(1) };
    worker.will(Behaviour::Hang);
    let held = [engine.submit(request(1)).await.unwrap(), engine.submit(request(1)).await.unwrap()];
    let refused = engine.submit(request(1)).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::QueueFull);
    let late = engine.step(vec![impatient.clone()]).await.remove(0);
    assert_eq!(late.unwrap_err().kind, ErrorKind::DeadlineExceeded);
    for submission in held {
        submission.cancel().await;
        submission.finish().await.unwrap_err();
        drop(engine.submit(impatient.clone()).await.unwrap());
    }
}

#[tokio::test]
async fn one_worker_is_called_by_its_name() {
    let cluster = Cluster::new();
    let workers = [cluster.worker(0).await, cluster.worker(1).await];
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    for (worker, rank) in workers.iter().zip([0, 1]) {
        let options = RpcOptions::new().worker(worker.id.clone()).timeout(SOON);
        let answers = engine.collective_rpc("get_rank", json!({}), options.clone()).await.unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].outcome.as_ref().unwrap()["rank"], rank);
        let answers = engine.call::<call::GetRank>(NoArgs {}, options).await.unwrap();
        assert_eq!(answers[0].outcome.as_ref().unwrap().rank, Some(Rank(rank)));
    }
    let stranger = WorkerId::new("stranger".to_owned()).unwrap();
    let options = RpcOptions::new().worker(stranger);
    let error = engine.collective_rpc("get_rank", json!({}), options).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::WorkerLost);
}

#[tokio::test]
async fn a_blocking_engine_waits_beside_async_code_too() {
    let cluster = Cluster::new();
    let _worker = cluster.worker(0).await;
    let make = move || {
        let engine = blocking::Engine::with(async { Ok(cluster.engine()) }).unwrap();
        engine.wait_ready(1, SOON).unwrap();
        let outputs = engine.step(vec![request(2)]);
        engine.close();
        outputs
    };
    let outputs = tokio::task::spawn_blocking(make).await.unwrap();
    assert_eq!(outputs[0].as_ref().unwrap().items.len(), 2);
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_tried_elsewhere() {
    let cluster = Cluster::new();
    let (full, free) = (cluster.worker(0).await, cluster.worker(1).await);
    full.will(Behaviour::Refuse(ErrorKind::QueueFull));
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    // One image each, whichever comes first.
    let mut submission = engine.submit(request(2)).await.unwrap();
    let mut retried = Vec::new();
    let mut output = None;
    while let Some(event) = submission.next().await {
        match event {
            RequestEvent::Retried { from, error, .. } => retried.push((from, error.kind)),
            RequestEvent::Finished(finished) => output = Some(finished),
            _ => {}
        }
    }
    assert_eq!(retried, [(full.id.clone(), ErrorKind::QueueFull)]);
    for item in output.unwrap().items {
        assert_eq!(item.unwrap().worker, free.id);
    }
    assert_eq!((full.state.generates(), free.state.generates()), (1, 2));
}

#[tokio::test]
async fn where_all_are_full_an_image_waits_for_a_place_as_long_as_it_may() {
    let cluster = Cluster::new();
    let workers = [cluster.worker(0).await, cluster.worker(1).await];
    workers.iter().for_each(|worker| worker.will(Behaviour::Full { retry_after_ms: None }));
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    let mut submission = engine.submit(request(1)).await.unwrap();
    let mut refused = 0;
    while refused < 2 {
        match submission.next().await.unwrap() {
            RequestEvent::Retried { error, .. } => {
                assert_eq!(error.kind, ErrorKind::QueueFull);
                refused += 1;
            }
            RequestEvent::Finished(output) => panic!("{output:?}"),
            _ => {}
        }
    }
    // It is asked more often than it says so, and than other refusals are borne.
    let began = Instant::now();
    while workers.iter().map(|worker| worker.state.generates()).sum::<u32>() < 6 {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    workers[1].will(Behaviour::Draw);
    let output = submission.finish().await.unwrap();
    assert_eq!(output.items[0].as_ref().unwrap().worker, workers[1].id);
}

#[tokio::test]
async fn an_image_that_would_wait_in_vain_or_does_not_wait_is_refused_at_once() {
    let cluster = Cluster::new();
    let workers = [cluster.worker(0).await, cluster.worker(1).await];
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    let full = |ms| Behaviour::Full { retry_after_ms: Some(ms) };
    workers[0].will(full(60_000));
    workers[1].will(full(40_000));
    let hurried = GenerationRequest { deadline_ms: Some(30_000), ..request(1) };
    let began = Instant::now();
    let error = engine.submit(hurried).await.unwrap().finish().await.unwrap_err();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(error.kind, ErrorKind::QueueFull);
    let hint = error.retry_after_ms.unwrap();
    assert!((20_000..=40_000).contains(&hint), "the sooner of the two: {hint}");
    assert!(error.message.contains("Allow more time"), "{error}");

    // A minute would be enough, but this engine does not wait.
    let options = EngineOptions::new().wait_for_place(false);
    let engine = Engine::with_options(cluster.executor(&cluster.url(), None), options);
    engine.wait_ready(2, SOON).await.unwrap();
    let before = workers.each_ref().map(|worker| worker.state.generates());
    let error = engine.submit(request(1)).await.unwrap().finish().await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::QueueFull, "full"));
    let after = workers.each_ref().map(|worker| worker.state.generates());
    assert_eq!(after, before.map(|count| count + 1), "each was asked once");
}

#[tokio::test]
async fn an_image_that_waits_goes_to_a_worker_that_idles() {
    let cluster = Cluster::new();
    let busy = cluster.worker(0).await;
    busy.will(Behaviour::Queue { position: 3 });
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    let mut submission = engine.submit(request(1)).await.unwrap();
    loop {
        match submission.next().await.unwrap() {
            RequestEvent::Accepted { queue_position: 3, .. } => break,
            RequestEvent::Finished(output) => panic!("{output:?}"),
            _ => {}
        }
    }
    // One that has as many before it, and then one that has none.
    let other = cluster.worker(1).await;
    other.will(Behaviour::Queue { position: 3 });
    engine.wait_ready(2, SOON).await.unwrap();
    let began = Instant::now();
    while other.state.asked() < 2 {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(other.state.generates(), 0, "it is no better there");
    other.will(Behaviour::Draw);
    let output = submission.finish().await.unwrap();
    assert_eq!(output.items[0].as_ref().unwrap().worker, other.id);
    let (args, attempt, _) = other.state.last.lock().unwrap().clone().unwrap();
    assert_eq!((args.max_queue_position, attempt), (Some(2), 0));
    cancelled(&busy, 1).await;
    assert_eq!((busy.state.generates(), other.state.generates()), (1, 1));
}

#[tokio::test]
async fn refusals_have_a_bound() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    worker.will(Behaviour::Refuse(ErrorKind::Draining));
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    let error = engine.submit(request(1)).await.unwrap().finish().await.unwrap_err();
    assert_eq!((error.kind, error.worker), (ErrorKind::Draining, Some(worker.id.clone())));
    assert_eq!(worker.state.generates(), 16);
}

#[tokio::test]
async fn what_is_the_requests_fault_ends_it_at_once() {
    let cluster = Cluster::new();
    let (wrong, hung) = (cluster.worker(0).await, cluster.worker(1).await);
    wrong.will(Behaviour::Refuse(ErrorKind::InvalidArgument));
    hung.will(Behaviour::Hang);
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    let error = engine.submit(request(2)).await.unwrap().finish().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    assert_eq!(wrong.state.generates(), 1);
}

#[tokio::test]
async fn a_failing_model_costs_its_image_only() {
    let cluster = Cluster::new();
    let (broken, sound) = (cluster.worker(0).await, cluster.worker(1).await);
    broken.will(Behaviour::Refuse(ErrorKind::ModelFailed));
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    let output = engine.submit(request(2)).await.unwrap().finish().await.unwrap();
    assert_eq!(output.finish_reason, FinishReason::Error);
    let (made, failed): (Vec<_>, Vec<_>) = output.items.iter().partition(|item| item.is_ok());
    assert_eq!(failed[0].as_ref().unwrap_err().kind, ErrorKind::ModelFailed);
    assert_eq!(made[0].as_ref().unwrap().worker, sound.id);
}

#[tokio::test]
async fn a_worker_that_dies_at_work_is_replaced() {
    let cluster = Cluster::new();
    let mut workers = vec![cluster.worker(0).await, cluster.worker(1).await];
    workers.iter().for_each(|worker| worker.will(Behaviour::Hang));
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    let mut submission = engine.submit(request(1)).await.unwrap();
    let at_work = loop {
        match submission.next().await.unwrap() {
            RequestEvent::Progress { worker, .. } => break worker,
            RequestEvent::Finished(output) => panic!("{output:?}"),
            _ => {}
        }
    };
    let at = workers.iter().position(|worker| worker.id == at_work).unwrap();
    let dying = workers.remove(at);
    let heir = workers.remove(0);
    heir.will(Behaviour::Draw);
    let _crashed = dying.crash();
    let output = submission.finish().await.unwrap();
    assert_eq!(output.items[0].as_ref().unwrap().worker, heir.id);
}

#[tokio::test]
async fn the_only_worker_may_restart_within_a_request() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    worker.will(Behaviour::Hang);
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    let mut submission = engine.submit(request(1)).await.unwrap();
    while !matches!(submission.next().await.unwrap(), RequestEvent::Progress { .. }) {}
    let worker = cluster.restart(worker.crash()).await;
    let output = submission.finish().await.unwrap();
    assert_eq!(output.items[0].as_ref().unwrap().worker, worker.id);
    assert_eq!(worker.state.generates(), 1);
}

#[tokio::test]
async fn the_deadline_ends_a_request_and_cancels_its_worker() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    worker.will(Behaviour::Hang);
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    let started = Instant::now();
    let asked = GenerationRequest { deadline_ms: Some(300), ..request(1) };
    let error = engine.submit(asked).await.unwrap().finish().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_millis(1300), "{:?}", started.elapsed());
    let (_, _, deadline) = worker.state.last.lock().unwrap().clone().unwrap();
    assert!(deadline.is_some_and(|ms| (1..=300).contains(&ms)), "{deadline:?}");
    cancelled(&worker, 1).await;
}

#[tokio::test]
async fn a_caller_cancels_by_word_or_by_leaving() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    worker.will(Behaviour::Hang);
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();

    let mut submission = engine.submit(request(2)).await.unwrap();
    while !matches!(submission.next().await.unwrap(), RequestEvent::Progress { .. }) {}
    submission.cancel().await;
    let error = submission.finish().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    cancelled(&worker, 2).await;

    let mut submission = engine.submit(request(1)).await.unwrap();
    while !matches!(submission.next().await.unwrap(), RequestEvent::Progress { .. }) {}
    drop(submission);
    cancelled(&worker, 3).await;
}

#[tokio::test]
async fn closing_ends_requests_and_leaves_workers_alone() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    worker.will(Behaviour::Hang);
    let mut submission = engine.submit(request(1)).await.unwrap();
    while !matches!(submission.next().await.unwrap(), RequestEvent::Progress { .. }) {}
    engine.close().await;
    let error = submission.finish().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    cancelled(&worker, 1).await;

    worker.will(Behaviour::Draw);
    let next = cluster.engine();
    next.wait_ready(1, SOON).await.unwrap();
    assert!(next.submit(request(1)).await.unwrap().finish().await.is_ok());
}

#[tokio::test]
async fn without_a_worker_nothing_is_accepted() {
    let cluster = Cluster::new();
    let engine = cluster.engine();
    let error = engine.submit(request(1)).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::NoWorker);
}

#[tokio::test]
async fn requests_and_their_calls_are_counted() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.worker(0).await, cluster.worker(1).await);
    let mut registry =
        Registry::new(BuildInfo { program: "test", version: "0", protocol: "1.0".to_owned() });
    let counted = metrics::CoordinatorMetrics::register(&mut registry);
    let executor = cluster.executor(&cluster.url(), None);
    let engine = Engine::builder(executor).metrics(counted).build();
    engine.wait_ready(2, SOON).await.unwrap();
    let shows = |lines: &[&str]| {
        let text = registry.encode().unwrap();
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "no {line} in\n{text}");
        }
    };

    // Done, after one image was turned away by one of the two.
    first.will(Behaviour::Refuse(ErrorKind::QueueFull));
    assert_eq!(engine.step(vec![request(2)]).await[0].as_ref().unwrap().items.len(), 2);
    // Refused, failed for good, left by its caller.
    assert!(
        engine.step(vec![GenerationRequest { model: Some("none".to_owned()), ..request(1) }]).await
            [0]
        .is_err()
    );
    first.will(Behaviour::Refuse(ErrorKind::ModelFailed));
    second.will(Behaviour::Refuse(ErrorKind::ModelFailed));
    assert!(engine.step(vec![request(1)]).await[0].is_err());
    first.will(Behaviour::Hang);
    second.will(Behaviour::Hang);
    let left = engine.submit(request(1)).await.unwrap();
    let began = Instant::now();
    while first.state.generates() + second.state.generates() < 5 {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    shows(&["hearth_requests_running 1", "hearth_items_in_flight 1"]);
    drop(left);
    while registry.encode().unwrap().contains("hearth_requests_running 1") {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let _ = engine.collective_rpc("levitate", json!({}), RpcOptions::default()).await;
    shows(&[
        r#"hearth_requests_total{outcome="done"} 1"#,
        r#"hearth_requests_total{outcome="rejected"} 1"#,
        r#"hearth_requests_total{outcome="error"} 1"#,
        r#"hearth_requests_total{outcome="cancelled"} 1"#,
        "hearth_request_duration_seconds_count 4",
        "hearth_items_in_flight 0",
        "hearth_item_retries_total 1",
        r#"hearth_rpc_duration_seconds_count{method="generate"} 5"#,
        r#"hearth_rpc_failures_total{method="generate",kind="queue_full"} 1"#,
        r#"hearth_rpc_failures_total{method="generate",kind="model_failed"} 1"#,
        r#"hearth_rpc_failures_total{method="generate",kind="cancelled"} 1"#,
        r#"hearth_rpc_duration_seconds_count{method="other"} 2"#,
    ]);
    engine.close().await;
}
