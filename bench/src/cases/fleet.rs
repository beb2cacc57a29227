//! A large fleet in one process: calls to all of it, and what a worker costs the coordinator.
//!
//! The workers are real ones, each with its certificate, socket and threads; they have no model
//! loaded.

use std::time::Duration;

use anyhow::Result;

use super::effort::{Effort, is_wanted};
use super::rpc;
use crate::children::{Server, Site};
use crate::measure::Samples;
use crate::peers::hearth::Hearth;
use crate::pki;
use crate::report::{Report, say};

/// Time for the background work of a start to be over.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) async fn run(report: &mut Report, only: &str, effort: Effort) -> Result<()> {
    let workers = effort.fleet;
    let dir = tempfile::tempdir()?;
    pki::create(dir.path(), workers)?;
    let place = Site::with_folder(dir.path());
    let memory = Server::start("memory", &place, "memory", workers)?;
    let _fleet = Server::start("fleet", &place, "fleet", workers)?;

    let name = "coordinator.rss_per_worker";
    say(&format!("measuring {name} with {workers} workers"));
    report.cases.push(rss_per_worker(memory, workers)?.case(name, "KB", Vec::new()));

    let name = format!("rpc.empty.n{workers}");
    if !is_wanted(only, &name) {
        return Ok(());
    }
    let hearth = Hearth::connect(&place, workers).await?;
    tokio::time::sleep(SETTLE).await;
    say(&format!("measuring {name}"));
    let mut samples = Samples::default();
    for round in 0..=effort.rounds {
        let keep = (round > 0).then_some(&mut samples);
        rpc::turn(&hearth, 0, effort.calls / 8, keep).await?;
    }
    report.cases.push(samples.case(name, "µs", Vec::new()));
    hearth.engine.close().await;
    Ok(())
}

/// What the second figure is above the first, by worker.
fn rss_per_worker(mut coordinator: Server, workers: usize) -> Result<Samples> {
    let without: u64 = coordinator.addr.parse()?;
    let with: u64 = coordinator.line()?.parse()?;
    let mut samples = Samples::default();
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    samples.add((with.saturating_sub(without)) as f64 / workers as f64 / 1024.0);
    Ok(samples)
}
