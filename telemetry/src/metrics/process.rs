//! What the process uses, read at each scrape, under the names that all Prometheus clients give it.

use std::fmt::Error;
use std::time::UNIX_EPOCH;

use prometheus_client::collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::gauge::saturating;
use crate::procinfo::Process;

#[derive(Debug)]
pub(super) struct Collector;

impl collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        // A kernel that does not tell is no reason to show nothing of the rest.
        let Ok(process) = Process::current() else { return Ok(()) };
        let started = process.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = ConstGauge::new(started.as_secs_f64());
        show(&mut encoder, "start_time_seconds", "Start, in seconds since 1970", &started)?;
        if let Ok(usage) = process.usage() {
            let cpu = ConstCounter::new(usage.cpu_time.as_secs_f64());
            show(&mut encoder, "cpu_seconds", "Processor time in user and kernel mode", &cpu)?;
            let resident = ConstGauge::new(saturating(usage.rss_bytes));
            show(&mut encoder, "resident_memory_bytes", "Resident memory", &resident)?;
        }
        if let Ok(open) = process.open_files() {
            let open = ConstGauge::new(saturating(open));
            show(&mut encoder, "open_fds", "Open file descriptors", &open)?;
        }
        Ok(())
    }
}

fn show(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), Error> {
    let name = format!("process_{name}");
    metric.encode(encoder.encode_descriptor(&name, help, None, metric.metric_type())?)
}
