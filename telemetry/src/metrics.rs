//! Counters of a daemon, in the form that Prometheus scrapes.
//!
//! A daemon makes one [`Registry`], lets each typed set (such as [`WorkerMetrics`]) register in it,
//! and hands it to the [probe](crate::probe). The sets are cheap to clone and never block.

use std::fmt::Write;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{self, Unit};

/// The media type of [`Registry::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the duration histogram in seconds: from a cache hit to a long video.
const DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];

/// All metrics of one process, each named `hearth_…`.
#[derive(Debug)]
pub struct Registry(registry::Registry);

/// What `hearth_build_info` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BuildInfo {
    /// The program, such as `hearth-worker`.
    pub program: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The wire protocol's version.
    pub protocol: String,
}

impl Registry {
    /// A registry that holds `hearth_build_info`.
    pub fn new(build: BuildInfo) -> Self {
        let mut registry = registry::Registry::with_prefix("hearth");
        registry.register("build", "Program and version that runs", Info::new(build));
        Self(registry)
    }

    /// The current values as text of type [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// [`std::fmt::Error`] if a metric can't write itself.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.0)?;
        Ok(out)
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With a result.
    Done,
    /// By its caller's wish.
    Cancelled,
    /// By its deadline.
    Deadline,
    /// Refused before it was queued.
    Rejected,
    /// With any other error.
    Error,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
            Self::Rejected => "rejected",
            Self::Error => "error",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

/// What a worker counts.
#[derive(Debug, Clone)]
pub struct WorkerMetrics {
    requests: Family<OutcomeLabel, Counter>,
    duration: Histogram,
    queue_depth: Gauge,
    running: Gauge,
    steps: Counter,
    model_loads: Counter,
}

impl WorkerMetrics {
    /// A new set, all at zero, that `registry` shows from now on.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            queue_depth: Gauge::default(),
            running: Gauge::default(),
            steps: Counter::default(),
            model_loads: Counter::default(),
        };
        let registry = &mut registry.0;
        registry.register("requests", "Requests that ended, by outcome", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's arrival to its end",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register("queue_depth", "Requests that wait", metrics.queue_depth.clone());
        registry.register("requests_running", "Requests that compute", metrics.running.clone());
        registry.register("steps", "Denoising steps computed", metrics.steps.clone());
        registry.register("model_loads", "Models loaded", metrics.model_loads.clone());
        metrics
    }

    /// Counts a request that ended, `duration` after it came.
    pub fn request_ended(&self, outcome: Outcome, duration: Duration) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
        self.duration.observe(duration.as_secs_f64());
    }

    /// Sets how many requests wait.
    pub fn set_queue_depth(&self, waiting: usize) {
        self.queue_depth.set(saturating(waiting));
    }

    /// Sets how many requests compute.
    pub fn set_running(&self, running: usize) {
        self.running.set(saturating(running));
    }

    /// Counts one denoising step.
    pub fn step_computed(&self) {
        self.steps.inc();
    }

    /// Denoising steps computed since the process started.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Counts one load of a model.
    pub fn model_loaded(&self) {
        self.model_loads.inc();
    }

    /// Models loaded since the process started.
    pub fn model_loads(&self) -> u64 {
        self.model_loads.get()
    }
}

fn saturating(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build() -> BuildInfo {
        BuildInfo { program: "hearth-worker", version: "0.1.0", protocol: "1.0".to_owned() }
    }

    #[test]
    fn the_text_has_the_promised_names() {
        let mut registry = Registry::new(build());
        let metrics = WorkerMetrics::register(&mut registry);
        metrics.request_ended(Outcome::Done, Duration::from_millis(700));
        metrics.request_ended(Outcome::Rejected, Duration::ZERO);
        metrics.set_queue_depth(3);
        metrics.set_running(1);
        metrics.step_computed();
        metrics.model_loaded();

        let text = registry.encode().unwrap();
        for line in [
            r#"hearth_build_info{program="hearth-worker",version="0.1.0",protocol="1.0"} 1"#,
            r#"hearth_requests_total{outcome="done"} 1"#,
            r#"hearth_requests_total{outcome="rejected"} 1"#,
            r#"hearth_request_duration_seconds_bucket{le="1.0"} 2"#,
            "hearth_request_duration_seconds_count 2",
            "hearth_queue_depth 3",
            "hearth_requests_running 1",
            "hearth_steps_total 1",
            "hearth_model_loads_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn clones_count_together() {
        let metrics = WorkerMetrics::register(&mut Registry::new(build()));
        metrics.clone().step_computed();
        metrics.step_computed();
        assert_eq!(metrics.steps(), 2);
        assert_eq!(metrics.model_loads(), 0);
    }
}
