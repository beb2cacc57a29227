//! Counters of a daemon, in the form that Prometheus scrapes.
//!
//! A daemon makes one [`Registry`], lets each typed set of metrics register in it, and hands it to
//! its probe. Which metrics there are is the worker's and the engine's: here is what they share.
//! Every label has few values, whatever peers send; `docs/metrics.md` lists all metrics.

mod certificate;
mod form;
mod gauge;
mod process;

use std::fmt::Write as _;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{self, Unit};

pub use certificate::CertificateExpiry;
pub use form::Form;
pub use gauge::saturating;

/// Upper bounds of the request durations in seconds: from a cache hit to a long video.
const REQUEST_BUCKETS: [f64; 14] =
    [0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];

/// All metrics of one process: each named `hearth_…`, besides the process's own.
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
    /// A registry that holds `hearth_build_info` and what the process uses.
    pub fn new(build: BuildInfo) -> Self {
        let mut registry = Self(registry::Registry::default());
        registry.0.register_collector(Box::new(process::Collector));
        registry.own().register("build", "Program and version that runs", Info::new(build));
        registry
    }

    /// Where metrics get their prefix, `hearth_`.
    pub fn own(&mut self) -> &mut registry::Registry {
        self.0.sub_registry_with_prefix("hearth")
    }

    /// The current values in OpenMetrics.
    ///
    /// # Errors
    /// [`std::fmt::Error`] if a metric can't write itself.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.0)?;
        Ok(out)
    }

    /// The current values in the given form.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_as(&self, form: Form) -> Result<String, std::fmt::Error> {
        let open = self.encode()?;
        Ok(match form {
            Form::OpenMetrics => open,
            Form::Classic => form::classic(&open),
        })
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

impl Outcome {
    const ALL: [Self; 5] =
        [Self::Done, Self::Cancelled, Self::Deadline, Self::Rejected, Self::Error];
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

/// The label of what is counted by state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabel {
    /// The state.
    pub state: &'static str,
}

/// Requests that ended, of either daemon.
#[derive(Debug, Clone)]
pub struct Requests {
    ended: Family<OutcomeLabel, Counter>,
    duration: Histogram,
}

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}

impl Requests {
    /// No request yet; each outcome is shown from the start.
    #[must_use]
    pub fn new() -> Self {
        let ended = Family::<OutcomeLabel, Counter>::default();
        for outcome in Outcome::ALL {
            // There from the start, so that a rate over the first one is right.
            drop(ended.get_or_create(&OutcomeLabel { outcome }));
        }
        Self { ended, duration: Histogram::new(REQUEST_BUCKETS) }
    }

    /// Shows them in `registry` from now on.
    pub fn register(&self, registry: &mut registry::Registry) {
        registry.register("requests", "Requests that ended, by outcome", self.ended.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's arrival to its end",
            Unit::Seconds,
            self.duration.clone(),
        );
    }

    /// Counts one that ended.
    pub fn ended(&self, outcome: Outcome, duration: Duration) {
        self.ended.get_or_create(&OutcomeLabel { outcome }).inc();
        self.duration.observe(duration.as_secs_f64());
    }
}
