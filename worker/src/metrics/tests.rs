//! What a scrape of a worker shows, and that `docs/metrics.md` says so.

use hearth_telemetry::metrics::BuildInfo;
use hearth_tests::{assert_shows, documented_metrics, shown_metrics};

use super::*;

fn build() -> BuildInfo {
    BuildInfo { program: "hearth-worker", version: "0.1.0", protocol: "1.0".to_owned() }
}

#[test]
fn a_worker_shows_its_items_steps_and_models() {
    let mut registry = Registry::new(build());
    let metrics = WorkerMetrics::register(&mut registry);
    metrics.request_ended(Outcome::Done, Duration::from_millis(700));
    metrics.request_ended(Outcome::Rejected, Duration::ZERO);
    metrics.step_computed(Duration::from_millis(30), 3);
    metrics.model_loaded(Duration::from_secs(3), 1 << 20);
    metrics.set(&WorkerFigures {
        queued: 3,
        running: 1,
        connections: 2,
        models: vec![("ready", 1), ("failed", 0)],
        model_bytes: 1 << 20,
        kept_bytes: 4096,
    });
    assert_shows(
        &registry.encode().unwrap(),
        &[
            r#"hearth_build_info{program="hearth-worker",version="0.1.0",protocol="1.0"} 1"#,
            r#"hearth_requests_total{outcome="done"} 1"#,
            r#"hearth_requests_total{outcome="deadline"} 0"#,
            r#"hearth_requests_total{outcome="rejected"} 1"#,
            r#"hearth_request_duration_seconds_bucket{le="1.0"} 2"#,
            "hearth_request_duration_seconds_count 2",
            "hearth_queue_depth 3",
            "hearth_requests_running 1",
            "hearth_steps_total 3",
            r#"hearth_step_duration_seconds_bucket{le="0.05"} 1"#,
            r#"hearth_step_requests_bucket{le="4.0"} 1"#,
            "hearth_model_loads_total 1",
            "hearth_model_load_duration_seconds_sum 3.0",
            r#"hearth_models{state="ready"} 1"#,
            r#"hearth_models{state="failed"} 0"#,
            "hearth_model_weight_bytes 1048576",
            "hearth_kept_results_bytes 4096",
            "hearth_connections 2",
        ],
    );
}

#[test]
fn clones_count_together() {
    let metrics = WorkerMetrics::register(&mut Registry::new(build()));
    metrics.clone().step_computed(Duration::ZERO, 1);
    metrics.step_computed(Duration::ZERO, 1);
    assert_eq!(metrics.steps(), 2);
    assert_eq!((metrics.model_loads(), metrics.loaded_bytes()), (0, 0));
}

#[test]
fn the_documentation_has_what_is_shown_and_no_more() {
    let mut registry = Registry::new(build());
    let worker = WorkerMetrics::register(&mut registry);
    // What has labels shows itself with its first value.
    worker.set(&WorkerFigures { models: vec![("ready", 1)], ..WorkerFigures::default() });
    worker.set_certificate_end(SystemTime::now());
    assert_eq!(documented_metrics("worker"), shown_metrics(&registry.encode().unwrap()));
}
