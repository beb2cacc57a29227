//! What a coordinator counts: its callers' requests, the calls that it makes for them, its fleet.

use std::time::{Duration, Instant, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use hearth_telemetry::metrics::{
    CertificateExpiry, Outcome, Registry, Requests, StateLabel, saturating,
};

/// Upper bounds of a call's duration in seconds: from an empty call on one host to a long video.
const CALL_BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0,
    300.0, 900.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    method: &'static str,
    kind: &'static str,
}

/// What a coordinator counts.
#[derive(Debug, Clone)]
pub struct CoordinatorMetrics {
    requests: Requests,
    running: Gauge,
    items: Gauge,
    retries: Counter,
    calls: Family<MethodLabel, Histogram>,
    failures: Family<FailureLabels, Counter>,
    workers: Family<StateLabel, Gauge>,
    connections: Gauge,
    stale: Gauge,
    certificate: CertificateExpiry,
}

/// How a coordinator's fleet is at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetFigures {
    /// How many workers are in each state; all states, so that none keeps an old number.
    pub workers: Vec<(&'static str, usize)>,
    /// Workers that are connected.
    pub connections: usize,
    /// The registry does not answer, and the fleet is as it was said last.
    pub stale: bool,
}

impl CoordinatorMetrics {
    /// A new set, all at zero, that `registry` shows from now on.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Requests::new(),
            running: Gauge::default(),
            items: Gauge::default(),
            retries: Counter::default(),
            calls: Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS)),
            failures: Family::default(),
            workers: Family::default(),
            connections: Gauge::default(),
            stale: Gauge::default(),
            certificate: CertificateExpiry::register(registry.own()),
        };
        let own = registry.own();
        metrics.requests.register(own);
        own.register("requests_running", "Requests under way", metrics.running.clone());
        own.register("items_in_flight", "Items that workers have now", metrics.items.clone());
        let help = "Items tried again, on another worker or the same";
        own.register("item_retries", help, metrics.retries.clone());
        let help = "Time of a call to one worker, by method";
        own.register_with_unit("rpc_duration", help, Unit::Seconds, metrics.calls.clone());
        let help = "Calls to one worker that failed, by method and kind of error";
        own.register("rpc_failures", help, metrics.failures.clone());
        own.register("workers", "Workers known, by state", metrics.workers.clone());
        own.register("connections", "Workers connected", metrics.connections.clone());
        let help = "1 while the registry does not answer and its last word counts";
        own.register("registry_stale", help, metrics.stale.clone());
        metrics
    }

    /// The certificate that the coordinator bears ends then.
    pub fn set_certificate_end(&self, end: SystemTime) {
        self.certificate.set(end);
    }

    /// Counts a request that was refused before it began, `duration` after it came.
    pub fn request_refused(&self, duration: Duration) {
        self.requests.ended(Outcome::Rejected, duration);
    }

    /// A request that begins, and came at `arrived`.
    #[must_use]
    pub fn request_began(&self, arrived: Instant) -> RequestTimer {
        self.running.inc();
        RequestTimer { metrics: self.clone(), arrived, outcome: Outcome::Cancelled }
    }

    /// A call to a worker that begins. `item` is how often an item was tried before, if the call
    /// makes one.
    #[must_use]
    pub fn call_began(&self, method: &'static str, item: Option<u32>) -> CallTimer {
        if let Some(tried) = item {
            self.items.inc();
            self.retries.inc_by(u64::from(tried > 0));
        }
        let (metrics, is_item) = (self.clone(), item.is_some());
        CallTimer { metrics, method, is_item, began: Instant::now(), failure: Some("cancelled") }
    }

    /// Says how the fleet is now.
    pub fn set_fleet(&self, fleet: &FleetFigures) {
        for &(state, count) in &fleet.workers {
            self.workers.get_or_create(&StateLabel { state }).set(saturating(count));
        }
        self.connections.set(saturating(fleet.connections));
        self.stale.set(i64::from(fleet.stale));
    }
}

/// A request under way. Counted when it is dropped: as cancelled, unless it was told otherwise.
#[derive(Debug)]
pub struct RequestTimer {
    metrics: CoordinatorMetrics,
    arrived: Instant,
    outcome: Outcome,
}

impl RequestTimer {
    /// How it ended.
    pub fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        self.metrics.running.dec();
        self.metrics.requests.ended(self.outcome, self.arrived.elapsed());
    }
}

/// A call to one worker. Counted when it is dropped: as cancelled, unless it was told otherwise.
#[derive(Debug)]
pub struct CallTimer {
    metrics: CoordinatorMetrics,
    method: &'static str,
    is_item: bool,
    began: Instant,
    failure: Option<&'static str>,
}

impl CallTimer {
    /// How it ended: with a value, or an error of this kind.
    pub fn ended(mut self, failure: Option<&'static str>) {
        self.failure = failure;
    }
}

impl Drop for CallTimer {
    fn drop(&mut self) {
        let Self { metrics, method, is_item, began, failure } = self;
        if *is_item {
            metrics.items.dec();
        }
        let calls = metrics.calls.get_or_create(&MethodLabel { method });
        calls.observe(began.elapsed().as_secs_f64());
        drop(calls);
        if let Some(kind) = *failure {
            metrics.failures.get_or_create(&FailureLabels { method, kind }).inc();
        }
    }
}

#[cfg(test)]
mod tests;
