//! The bench's own processes still start and answer: each case that needs some, with few of them.
//! Nothing is asserted about how fast they are.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::path::Path;
use std::process::Command;

fn report(only: &str) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth-bench"));
    command.args(["--quick", "--peers", "0", "--only", only]).arg("--report").arg(&report);
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = command.current_dir(tree).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap()
}

#[track_caller]
fn assert_measured(report: &serde_json::Value, names: &[&str]) {
    let cases = report["cases"].as_array().unwrap();
    let found: Vec<_> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(found, names);
    assert!(
        cases.iter().all(|case| case["p50"].as_f64().is_some_and(|p50| p50 > 0.0)),
        "{cases:?}"
    );
}

#[test]
fn a_fresh_coordinator_reaches_its_workers_through_etcd() {
    assert_measured(&report("connect"), &["connect.etcd.n8"]);
}

#[test]
fn a_fleet_in_one_process_answers() {
    assert_measured(&report("rpc.empty.n10"), &["coordinator.rss_per_worker", "rpc.empty.n10"]);
}

#[test]
fn unknown_peers_are_refused_by_name() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth-bench"));
    let output = command.env("BENCH_PEERS", "ray,zeromq").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains("zeromq is not known: 1, or ray, grpc_mtls, optimum"), "{stderr}");
}
