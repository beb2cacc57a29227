//! What a scrape of a coordinator shows, and that `docs/metrics.md` says so.

use std::time::Instant;

use hearth_telemetry::metrics::BuildInfo;
use hearth_tests::{assert_shows, documented_metrics, shown_metrics};

use super::*;

fn build() -> BuildInfo {
    BuildInfo { program: "hearth-coordinator", version: "0.1.0", protocol: "1.0".to_owned() }
}

#[test]
fn a_coordinator_shows_its_requests_calls_and_fleet() {
    let mut registry = Registry::new(build());
    let metrics = CoordinatorMetrics::register(&mut registry);
    metrics.request_refused(Duration::ZERO);
    metrics.request_began(Instant::now()).ended(Outcome::Done);
    let (_request, first) =
        (metrics.request_began(Instant::now()), metrics.call_began("stats", None));
    first.ended(None);
    metrics.call_began("generate", Some(0)).ended(Some("worker_lost"));
    let _second = metrics.call_began("generate", Some(1));
    metrics.set_fleet(&FleetFigures {
        workers: vec![("ready", 2), ("lost", 1)],
        connections: 2,
        stale: true,
    });
    assert_shows(
        &registry.encode().unwrap(),
        &[
            r#"hearth_requests_total{outcome="done"} 1"#,
            r#"hearth_requests_total{outcome="cancelled"} 0"#,
            r#"hearth_requests_total{outcome="rejected"} 1"#,
            "hearth_request_duration_seconds_count 2",
            "hearth_requests_running 1",
            "hearth_items_in_flight 1",
            "hearth_item_retries_total 1",
            r#"hearth_rpc_duration_seconds_count{method="stats"} 1"#,
            r#"hearth_rpc_duration_seconds_count{method="generate"} 1"#,
            r#"hearth_rpc_failures_total{method="generate",kind="worker_lost"} 1"#,
            r#"hearth_workers{state="ready"} 2"#,
            r#"hearth_workers{state="lost"} 1"#,
            "hearth_connections 2",
            "hearth_registry_stale 1",
        ],
    );
}

#[test]
fn what_is_dropped_counts_as_cancelled() {
    let mut registry = Registry::new(build());
    let metrics = CoordinatorMetrics::register(&mut registry);
    drop(metrics.request_began(Instant::now()));
    drop(metrics.call_began("generate", Some(0)));
    assert_shows(
        &registry.encode().unwrap(),
        &[
            r#"hearth_requests_total{outcome="cancelled"} 1"#,
            r#"hearth_rpc_failures_total{method="generate",kind="cancelled"} 1"#,
            "hearth_items_in_flight 0",
            "hearth_requests_running 0",
        ],
    );
}

#[test]
fn the_documentation_has_what_is_shown_and_no_more() {
    let mut registry = Registry::new(build());
    let coordinator = CoordinatorMetrics::register(&mut registry);
    coordinator.call_began("stats", None).ended(Some("internal"));
    let workers = vec![("ready", 1)];
    coordinator.set_fleet(&FleetFigures { workers, ..FleetFigures::default() });
    coordinator.set_certificate_end(SystemTime::now());
    assert_eq!(documented_metrics("coordinator"), shown_metrics(&registry.encode().unwrap()));
}
