//! Three workers that were started by hand, a real etcd, and coordinators that come and go.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hearth_engine::{Engine, RpcOptions};
use hearth_fabric::identity::Identity;
use hearth_tests::{Etcd, Fleet, FleetOptions, until};
use serde_json::{Value, json};

/// The workers' registry TTL in these tests, and a second to spare.
const TTL: Duration = Duration::from_secs(4);

fn fleet(etcd: &Etcd) -> Fleet {
    let registry = Some(etcd.url());
    Fleet::start(FleetOptions { workers: 3, registry, ..FleetOptions::default() })
}

fn listed(fleet: &Fleet) -> BTreeSet<String> {
    let workers = fleet.hearth(&["workers", "--json"]).ok().json();
    let name = |row: &Value| row["id"].as_str().unwrap_or_default().to_owned();
    workers["workers"].as_array().into_iter().flatten().map(name).collect()
}

#[test]
fn coordinators_come_and_go_and_the_workers_stay() {
    let _turn = hearth_tests::Turn::take();
    let etcd = Etcd::start();
    let fleet = fleet(&etcd);
    let all = BTreeSet::from(["w0".to_owned(), "w1".to_owned(), "w2".to_owned()]);
    assert_eq!(listed(&fleet), all);
    let pids: Vec<u64> = fleet.workers.iter().map(|worker| worker.pid().into()).collect();
    assert_eq!(fleet.stats("pid"), pids);

    let args = ["generate", "red heart", "-n", "6", "--steps", "4", "-o", "a.png", "--json"];
    let made = fleet.hearth(&args).ok().json();
    let images = made["items"].as_array().expect("items");
    assert_eq!(images.len(), 6);
    let used: BTreeSet<_> = images.iter().map(|i| i["worker"].as_str().unwrap_or("")).collect();
    assert_eq!(used, BTreeSet::from(["w0", "w1", "w2"]));

    // A coordinator that is killed in the middle of a request.
    let mut command = fleet.command(&["generate", "pizza", "-n", "6", "--steps", "150"]);
    let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hearth");
    until("all workers compute", Duration::from_secs(20), || {
        fleet.stats("running").iter().all(|&running| running > 0).then_some(())
    });
    killed.kill().expect("kill");
    killed.wait().expect("wait");
    let again = ["generate", "red heart", "-n", "3", "--steps", "4", "-o", "b.png"];
    let _ = fleet.hearth(&again).ok();
    assert_eq!(fleet.stats("pid"), pids);
    assert_eq!(fleet.stats("model_loads"), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_without_etcd_and_the_fleet_is_whole_again_after() {
    let _turn = hearth_tests::Turn::take();
    let mut etcd = Etcd::start();
    let fleet = fleet(&etcd);
    let identity = Identity::load(&fleet.pki("coordinator-c0")).expect("identity");
    let engine = Engine::connect(&etcd.url(), identity).expect("engine");
    engine.wait_ready(3, Duration::from_secs(20)).await.expect("ready");

    etcd.kill();
    let start = Instant::now();
    let mut calls = 0;
    // Longer than the leases live.
    while start.elapsed() < TTL + Duration::from_secs(2) {
        let answers = engine.collective_rpc("get_rank", json!({}), RpcOptions::default()).await;
        let answers = answers.expect("the fleet is known");
        assert_eq!(answers.len(), 3);
        for answer in answers {
            answer.outcome.expect("connected workers answer");
        }
        calls += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(calls > 20);
    assert!(engine.fleet().borrow().stale_since.is_some(), "the view says that it is old");

    etcd.resume();
    let back = Instant::now();
    until("the fleet is whole", TTL + Duration::from_secs(3), || {
        (fleet.hearth(&["workers", "--json"]).status == 0 && listed(&fleet).len() == 3)
            .then_some(())
    });
    assert!(back.elapsed() < TTL + Duration::from_secs(3));
    assert_eq!(fleet.stats("model_loads"), [1, 1, 1]);
    engine.close().await;
    assert_eq!(fleet.stats("model_loads"), [1, 1, 1], "a coordinator that leaves changes nothing");
}
