//! What a scrape of a worker shows, and that `docs/metrics.md` says so.

use std::collections::BTreeSet;

use hearth_telemetry::metrics::BuildInfo;

use super::*;

fn build() -> BuildInfo {
    BuildInfo { program: "hearth-worker", version: "0.1.0", protocol: "1.0".to_owned() }
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "no {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_worker_shows_its_items_steps_and_models() {
    let mut registry = Registry::new(build());
    let metrics = WorkerMetrics::register(&mut registry);
    metrics.request_ended(Outcome::Done, Duration::from_millis(700));
    metrics.request_ended(Outcome::Rejected, Duration::ZERO);
    metrics.step_computed(Duration::from_millis(30));
    metrics.model_loaded(Duration::from_secs(3), 1 << 20);
    metrics.set(&WorkerFigures {
        queued: 3,
        running: 1,
        connections: 2,
        models: vec![("ready", 1), ("failed", 0)],
        model_bytes: 1 << 20,
        kept_bytes: 4096,
    });
    has(
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
            "hearth_steps_total 1",
            r#"hearth_step_duration_seconds_bucket{le="0.05"} 1"#,
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
    metrics.clone().step_computed(Duration::ZERO);
    metrics.step_computed(Duration::ZERO);
    assert_eq!(metrics.steps(), 2);
    assert_eq!((metrics.model_loads(), metrics.loaded_bytes()), (0, 0));
}

/// Names and types that a registry shows: `("hearth_steps", "counter")`.
fn shown(registry: &Registry) -> BTreeSet<(String, String)> {
    let text = registry.encode().unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The rows of the documentation that name a daemon; a counter's name has its `_total`.
fn documented(daemon: &str) -> BTreeSet<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, kind, _, who, ..] = cells[..] else { return None };
        let name = name.strip_prefix('`')?.strip_suffix('`')?;
        let name = name.strip_suffix("_info").or(name.strip_suffix("_total")).unwrap_or(name);
        who.contains(daemon).then(|| (name.to_owned(), kind.to_owned()))
    });
    rows.collect()
}

#[test]
fn the_documentation_has_what_is_shown_and_no_more() {
    let mut registry = Registry::new(build());
    let worker = WorkerMetrics::register(&mut registry);
    // What has labels shows itself with its first value.
    worker.set(&WorkerFigures { models: vec![("ready", 1)], ..WorkerFigures::default() });
    assert_eq!(documented("worker"), shown(&registry));
}
