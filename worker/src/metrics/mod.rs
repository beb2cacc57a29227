//! What a worker counts. A request here is an item: one output of a coordinator's request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hearth_api::ErrorKind;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use hearth_telemetry::metrics::{
    CertificateExpiry, Outcome, Registry, Requests, StateLabel, saturating,
};

/// Upper bounds of a step's duration in seconds: from a tiny model to a large one on a CPU.
const STEP_BUCKETS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Upper bounds of how many requests share a step.
const BATCH_BUCKETS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Upper bounds of a load's duration in seconds.
const LOAD_BUCKETS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0, 600.0];

/// What a worker counts.
#[derive(Debug, Clone)]
pub(crate) struct WorkerMetrics {
    requests: Requests,
    queue_depth: Gauge,
    running: Gauge,
    steps: Counter,
    step_duration: Histogram,
    step_requests: Histogram,
    model_loads: Counter,
    load_duration: Histogram,
    models: Family<StateLabel, Gauge>,
    model_bytes: Gauge,
    kept_bytes: Gauge,
    connections: Gauge,
    certificate: CertificateExpiry,
    /// Bytes of weights read.
    loaded_bytes: Arc<AtomicU64>,
}

/// How a worker is at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WorkerFigures {
    /// Parts that wait.
    pub(crate) queued: u32,
    /// Parts that compute.
    pub(crate) running: u32,
    /// Coordinators that are connected.
    pub(crate) connections: u32,
    /// How many models are in each state; those that are missing have none.
    pub(crate) models: Vec<(&'static str, usize)>,
    /// Bytes of the weights that are in memory.
    pub(crate) model_bytes: u64,
    /// Bytes of results that are kept for callers who ask again.
    pub(crate) kept_bytes: usize,
}

impl WorkerMetrics {
    /// A new set, all at zero, that `registry` shows from now on.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Requests::new(),
            queue_depth: Gauge::default(),
            running: Gauge::default(),
            steps: Counter::default(),
            step_duration: Histogram::new(STEP_BUCKETS),
            step_requests: Histogram::new(BATCH_BUCKETS),
            model_loads: Counter::default(),
            load_duration: Histogram::new(LOAD_BUCKETS),
            models: Family::default(),
            model_bytes: Gauge::default(),
            kept_bytes: Gauge::default(),
            connections: Gauge::default(),
            certificate: CertificateExpiry::register(registry.own()),
            loaded_bytes: Arc::default(),
        };
        let own = registry.own();
        metrics.requests.register(own);
        own.register("queue_depth", "Requests that wait", metrics.queue_depth.clone());
        own.register("requests_running", "Requests that compute", metrics.running.clone());
        own.register("steps", "Denoising steps computed", metrics.steps.clone());
        let help = "Time of one denoising step";
        own.register_with_unit("step_duration", help, Unit::Seconds, metrics.step_duration.clone());
        let help = "Requests that shared a denoising step";
        own.register("step_requests", help, metrics.step_requests.clone());
        own.register("model_loads", "Models loaded", metrics.model_loads.clone());
        let help = "Time from the first byte read of a model to the end of its warm-up";
        let loads = metrics.load_duration.clone();
        own.register_with_unit("model_load_duration", help, Unit::Seconds, loads);
        own.register("models", "Models, by state", metrics.models.clone());
        let help = "Weights of the models in memory";
        own.register_with_unit("model_weight", help, Unit::Bytes, metrics.model_bytes.clone());
        let help = "Results that are kept for callers who ask again";
        own.register_with_unit("kept_results", help, Unit::Bytes, metrics.kept_bytes.clone());
        own.register("connections", "Coordinators connected", metrics.connections.clone());
        metrics
    }

    /// Counts a request that was refused before it was queued.
    pub(crate) fn refused(&self) {
        self.request_ended(Outcome::Rejected, Duration::ZERO);
    }

    /// Counts an item that ended so long after it came: in a result, or an error of this kind.
    pub(crate) fn ended(&self, error: Option<ErrorKind>, after: Duration) {
        let outcome = match error {
            None => Outcome::Done,
            Some(ErrorKind::Cancelled) => Outcome::Cancelled,
            Some(ErrorKind::DeadlineExceeded) => Outcome::Deadline,
            Some(_) => Outcome::Error,
        };
        self.request_ended(outcome, after);
    }

    /// Counts a request that ended, `duration` after it came.
    fn request_ended(&self, outcome: Outcome, duration: Duration) {
        self.requests.ended(outcome, duration);
    }

    /// Says how the worker is now.
    pub(crate) fn set(&self, figures: &WorkerFigures) {
        self.queue_depth.set(i64::from(figures.queued));
        self.running.set(i64::from(figures.running));
        self.connections.set(i64::from(figures.connections));
        self.model_bytes.set(saturating(figures.model_bytes));
        self.kept_bytes.set(saturating(figures.kept_bytes));
        for &(state, count) in &figures.models {
            self.models.get_or_create(&StateLabel { state }).set(saturating(count));
        }
    }

    /// The certificate that the worker bears ends then.
    pub(crate) fn set_certificate_end(&self, end: SystemTime) {
        self.certificate.set(end);
    }

    /// Counts one denoising step that so many requests have taken together.
    pub(crate) fn step_computed(&self, duration: Duration, requests: u32) {
        self.steps.inc_by(requests.into());
        self.step_duration.observe(duration.as_secs_f64());
        self.step_requests.observe(requests.into());
    }

    /// Denoising steps computed since the process started.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Counts one load of a model.
    pub(crate) fn model_loaded(&self, duration: Duration, bytes: u64) {
        self.loaded_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.model_loads.inc();
        self.load_duration.observe(duration.as_secs_f64());
    }

    /// Models loaded since the process started.
    pub(crate) fn model_loads(&self) -> u64 {
        self.model_loads.get()
    }

    /// Bytes of weights read since the process started.
    pub(crate) fn loaded_bytes(&self) -> u64 {
        self.loaded_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
