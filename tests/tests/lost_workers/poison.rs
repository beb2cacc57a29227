//! A request that ends whoever computes it.

use std::time::Duration;

use hearth_engine::{ErrorKind, RequestEvent};
use hearth_tests::{Fleet, FleetOptions};

use super::{SOON, coordinator, request};

/// Whichever worker computes the request is killed and started again: two are, then it is
/// quarantined. Another coordinator that asks for the same id learns it from the workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_kills_workers_costs_two_and_is_remembered() {
    let _turn = hearth_tests::Turn::take();
    let options = FleetOptions { workers: 3, fixed_ports: true, ..FleetOptions::default() };
    let mut fleet = Fleet::start(options);
    let engine = coordinator(&fleet, "coordinator-c0", 3).await;
    let mut submission = engine.submit(request("poison", 1000)).await.expect("accepted");
    let mut killed = Vec::new();
    let output = loop {
        match submission.next().await.expect("the request goes on") {
            RequestEvent::Progress { worker, step: 1.., .. } => {
                let rank = (0..3).find(|rank| worker.as_str() == format!("w{rank}"));
                let rank = rank.expect("a rank");
                // What it said before it was killed may come late.
                if killed.contains(&rank) {
                    continue;
                }
                fleet.workers[rank].signal("KILL");
                let _ = fleet.workers[rank].wait(Duration::from_secs(5));
                fleet.workers[rank] = fleet.start_worker(rank);
                killed.push(rank);
            }
            RequestEvent::Finished(output) => break output,
            _ => {}
        }
    };
    let error = output.error.expect("it ends in an error");
    assert_eq!((error.kind, error.retryable), (ErrorKind::Quarantined, false), "{error}");
    assert_eq!(killed.len(), 2, "{killed:?}: {error}");
    let log = fleet.workers[killed[0]].log();
    assert!(log.contains("the last run ended while it computed this request"), "{log}");
    engine.close().await;

    // Nothing but the workers' own word connects the two.
    let other = coordinator(&fleet, "coordinator-c1", 3).await;
    let again = other.submit(request("poison", 1000)).await.expect("accepted").finish().await;
    let error = again.expect_err("it is remembered");
    assert_eq!(error.kind, ErrorKind::Quarantined, "{error}");
    let fresh = other.submit(request("fine", 2)).await.expect("accepted").finish();
    let fresh = tokio::time::timeout(SOON, fresh).await.expect("in time");
    assert!(fresh.expect("others are served").items[0].is_ok());
    other.close().await;
    let health = fleet.hearth(&["rpc", "check_health", "--json"]).ok().json();
    let knows = |rank: usize| health[rank]["value"]["suspects"][0]["request_id"] == "poison";
    assert!(killed.iter().all(|rank| knows(*rank)), "{health}");
}
