//! Samples and what is said of them.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::report::{Case, Versus};

/// Samples of one subject of one case.
#[derive(Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn add_us(&mut self, time: Duration) {
        self.add(time.as_secs_f64() * 1e6);
    }

    pub(crate) fn add_ms(&mut self, time: Duration) {
        self.add(time.as_secs_f64() * 1e3);
    }

    /// The middle one.
    pub(crate) fn p50(&mut self) -> f64 {
        self.quantile(0.5)
    }

    /// The value that a share `q` of the samples does not exceed (nearest rank).
    fn quantile(&mut self, q: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among at most some millions"
        )]
        let rank = (q * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }

    /// The case: these samples, and the peers' of the same run.
    pub(crate) fn case(
        mut self,
        name: impl Into<String>,
        unit: &'static str,
        peers: Vec<(&'static str, Samples)>,
    ) -> Case {
        let (p50, p99, n) = (self.quantile(0.5), self.quantile(0.99), self.0.len());
        let versus = peers.into_iter().map(|(peer, mut samples)| {
            let peer_p50 = samples.quantile(0.5);
            (peer.to_owned(), Versus { p50: peer_p50, ratio: p50 / peer_p50 })
        });
        Case { name: name.into(), unit, p50, p99, n, vs: versus.collect() }
    }
}

/// Resident memory of this process in bytes (`/proc/self/status`, `VmRSS`).
pub(crate) fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
