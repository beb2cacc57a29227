//! When the process's certificate ends.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{self, Unit};

use super::gauge::saturating;

/// `hearth_certificate_expiry_seconds`: the end of the certificate's validity in seconds since 1970, so
/// that it can be compared with the scraper's clock. Not shown until it is set: an engine that brings
/// its workers has a certificate of its own making.
#[derive(Debug, Clone, Default)]
pub struct CertificateExpiry(Arc<AtomicU64>);

impl CertificateExpiry {
    /// Shown by `registry` once it is set.
    #[must_use]
    pub fn register(registry: &mut registry::Registry) -> Self {
        let expiry = Self::default();
        registry.register_collector(Box::new(expiry.clone()));
        expiry
    }

    /// The certificate in use ends then.
    pub fn set(&self, end: SystemTime) {
        let since = end.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.store(since.as_secs(), Ordering::Relaxed);
    }
}

impl collector::Collector for CertificateExpiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let end = self.0.load(Ordering::Relaxed);
        if end == 0 {
            return Ok(());
        }
        let gauge = ConstGauge::new(saturating(end));
        let (name, help) = ("certificate_expiry", "End of the certificate's validity, since 1970");
        gauge.encode(encoder.encode_descriptor(
            name,
            help,
            Some(&Unit::Seconds),
            gauge.metric_type(),
        )?)
    }
}
