//! The external executor against real peers: discovery, collective calls, losses and restarts.

mod support;

use std::time::{Duration, Instant};

use hearth_engine::{Engine, ErrorKind, FleetView, Rank, RpcOptions, WorkerHealth, WorkerStatus};
use hearth_fabric::registry::RegistryUrl;
use hearth_protocol::record::WorkerState;
use serde_json::json;
use support::{Cluster, SOON};

/// Waits until the fleet looks as it should.
async fn until(engine: &Engine, what: &str, holds: impl FnMut(&FleetView) -> bool) {
    let mut fleet = engine.fleet();
    let mut holds = holds;
    let seen = tokio::time::timeout(SOON, fleet.wait_for(|view| holds(view))).await;
    assert!(seen.is_ok(), "{what} did not come: {:?}", engine.fleet().borrow());
}

#[tokio::test]
async fn a_collective_call_has_an_envelope_per_rank_in_their_order() {
    let cluster = Cluster::new();
    let _workers = [cluster.worker(2).await, cluster.worker(0).await, cluster.worker(1).await];
    let engine = cluster.engine();
    engine.wait_ready(3, SOON).await.unwrap();

    let all = RpcOptions::default();
    let envelopes = engine.collective_rpc("get_rank", json!({}), all.clone()).await.unwrap();
    let ranks: Vec<_> =
        envelopes.iter().map(|e| e.outcome.as_ref().unwrap()["rank"].as_u64().unwrap()).collect();
    assert_eq!(ranks, [0, 1, 2]);

    let one = all.clone().rank(Rank(1));
    let envelopes = engine.collective_rpc("get_rank", json!({}), one).await.unwrap();
    assert_eq!(envelopes.len(), 1);
    assert_eq!(envelopes[0].rank, Some(Rank(1)));

    let unique = all.clone().reply_rank(Rank(2));
    let envelopes = engine.collective_rpc("get_rank", json!(null), unique).await.unwrap();
    assert_eq!(envelopes.len(), 1);
    assert_eq!(envelopes[0].rank, Some(Rank(2)));

    let envelopes = engine.collective_rpc("dance", json!({}), all).await.unwrap();
    for envelope in envelopes {
        let error = envelope.outcome.unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownMethod);
        assert_eq!(error.worker, Some(envelope.worker));
    }
    assert!(engine.check_health(SOON).await.iter().all(WorkerHealth::is_healthy));
    engine.close().await;
}

#[tokio::test]
async fn wrong_options_are_refused_by_name() {
    let cluster = Cluster::new();
    let _worker = cluster.worker(0).await;
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    let all = RpcOptions::default();
    for (args, options, param) in [
        (json!([1]), all.clone(), "args"),
        (json!({}), all.clone().rank(Rank(7)), "rank"),
        (json!({}), all.clone().reply_rank(Rank(7)), "reply_rank"),
        (json!({}), all.clone().timeout(Duration::ZERO), "timeout"),
    ] {
        let error = engine.collective_rpc("get_rank", args, options).await.unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{error}");
    }
}

#[tokio::test]
async fn a_timeout_cancels_on_the_worker_and_hides_no_other_answer() {
    let cluster = Cluster::new();
    let workers = [cluster.worker(0).await, cluster.worker(1).await];
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    let options = RpcOptions::new().timeout(Duration::from_millis(300));
    let started = Instant::now();
    let envelopes = engine.collective_rpc("hang", json!({}), options).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    for envelope in &envelopes {
        let error = envelope.outcome.as_ref().unwrap_err();
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    }
    for worker in &workers {
        let state = &worker.state;
        while state.cancelled() == 0 {
            assert!(started.elapsed() < SOON, "{} was not told", worker.id);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    // The connection is as good as before.
    let all = engine.collective_rpc("get_rank", json!({}), RpcOptions::default()).await.unwrap();
    assert!(all.iter().all(|envelope| envelope.outcome.is_ok()));
}

#[tokio::test]
async fn a_dead_worker_is_noticed_and_has_an_envelope() {
    let cluster = Cluster::new();
    let (alive, dead) = (cluster.worker(0).await, cluster.worker(1).await);
    let engine = cluster.engine();
    engine.wait_ready(2, SOON).await.unwrap();
    let _crashed = dead.crash();
    // Dead and not yet noticed: the transport notices, not the call's timeout.
    let envelopes =
        engine.collective_rpc("get_rank", json!({}), RpcOptions::default()).await.unwrap();
    assert!(envelopes[0].outcome.is_ok());
    let error = envelopes[1].outcome.as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::WorkerLost, "{error}");
    assert!(envelopes[1].elapsed < Duration::from_secs(5), "{:?}", envelopes[1].elapsed);
    // Its lock is free, so its record has gone, and with the connection the worker.
    until(&engine, "the loss", |view| view.workers.len() == 1).await;
    assert_eq!(engine.fleet().borrow().workers[0].id, alive.id);
}

#[tokio::test]
async fn a_restart_on_the_same_port_is_taken_up_at_once() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    let before = worker.state.incarnation;
    let worker = cluster.restart(worker.crash()).await;
    let restarted = Instant::now();
    let now = worker.state.incarnation;
    assert_ne!(before, now);
    until(&engine, "the new run", |view| {
        view.ready().any(|worker| worker.incarnation == Some(now))
    })
    .await;
    assert!(restarted.elapsed() < Duration::from_secs(1), "{:?}", restarted.elapsed());
    let envelopes =
        engine.collective_rpc("get_rank", json!({}), RpcOptions::default()).await.unwrap();
    let value = envelopes[0].outcome.as_ref().unwrap();
    assert_eq!(value["incarnation"], json!(now.to_string()));
}

#[tokio::test]
async fn a_worker_that_left_the_registry_goes_on_serving() {
    let cluster = Cluster::new();
    let mut worker = cluster.worker(0).await;
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    assert!(engine.fleet().borrow().workers[0].in_registry);
    worker.withdraw().await;
    until(&engine, "the leaving", |view| !view.workers[0].in_registry).await;
    assert_eq!(engine.fleet().borrow().workers[0].status, WorkerStatus::Ready);
    assert!(engine.check_health(SOON).await[0].is_healthy());
}

#[tokio::test]
async fn the_view_follows_the_record() {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    let engine = cluster.engine();
    engine.wait_ready(1, SOON).await.unwrap();
    worker.announce(WorkerState::Draining);
    until(&engine, "draining", |view| view.workers[0].status == WorkerStatus::Draining).await;
    worker.announce(WorkerState::Ready);
    engine.wait_ready(1, SOON).await.unwrap();
}

#[tokio::test]
async fn a_static_list_is_enough_to_learn_who_is_there() {
    let cluster = Cluster::new();
    let worker = cluster.worker(3).await;
    let url = RegistryUrl::Static(vec![worker.address.to_string()]);
    let engine = cluster.engine_over(&url, None);
    engine.wait_ready(1, SOON).await.unwrap();
    let view = engine.fleet().borrow().clone();
    let seen = &view.workers[0];
    assert_eq!((&seen.id, seen.rank), (&worker.id, Some(Rank(3))));
    assert_eq!(seen.models[0].name, "emoji");
    assert_eq!(seen.capacity, Some(support::CAPACITY));
    assert_eq!(seen.started_at, Some(1));
    assert!(!seen.in_registry && view.endpoints.is_empty());
}

#[tokio::test]
async fn only_the_workers_asked_for_are_connected() {
    let cluster = Cluster::new();
    let (one, _other) = (cluster.worker(0).await, cluster.worker(1).await);
    let engine = cluster.engine_over(&cluster.url(), Some(vec![one.id.clone()]));
    engine.wait_ready(1, SOON).await.unwrap();
    assert_eq!(engine.fleet().borrow().workers.len(), 1);
}

#[tokio::test]
async fn waiting_in_vain_says_what_was_seen() {
    let cluster = Cluster::new();
    let engine = cluster.engine();
    let error = engine.wait_ready(1, Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoWorker);
    assert!(error.message.contains("dir:"), "{error}");

    let worker = cluster.worker(0).await;
    worker.announce(WorkerState::Loading);
    until(&engine, "the worker", |view| {
        view.workers.first().is_some_and(|worker| worker.status == WorkerStatus::Loading)
    })
    .await;
    let error = engine.wait_ready(1, Duration::from_millis(100)).await.unwrap_err();
    assert!(error.message.contains("w0 is loading"), "{error}");
}

#[tokio::test]
async fn strangers_are_told_why() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let _worker = cluster.worker(0).await;
    let engine = other.engine_over(&cluster.url(), None);
    let error = engine.wait_ready(1, Duration::from_secs(1)).await.unwrap_err();
    assert!(error.message.contains("certificate"), "{error}");
}
