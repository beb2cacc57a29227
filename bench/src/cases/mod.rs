//! The cases, in the order of the report.

mod connect;
mod daemon;
mod effort;
mod fleet;
mod generate;
mod rpc;
mod shared_steps;

use std::path::Path;

use anyhow::{Result, bail};

use crate::python::Peers;
use crate::report::{Report, load};

use effort::{Effort, is_wanted};

pub(crate) async fn run(only: &str, quick: bool, mut peers: Peers, path: &Path) -> Result<()> {
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let wanted = |names: &[&str]| names.iter().any(|name| is_wanted(only, name));
    let mut report = Report::new();
    let before = load();
    if wanted(&rpc::NAMES) {
        rpc::run(&mut report, only, effort, &mut peers).await?;
    }
    let fan_out = format!("rpc.empty.n{}", effort.fleet);
    if wanted(&[&fan_out, "coordinator.rss_per_worker"]) {
        fleet::run(&mut report, only, effort).await?;
    }
    if wanted(&["connect.etcd.n8"]) {
        connect::run(&mut report, "connect.etcd.n8", effort, &mut peers).await?;
    }
    if wanted(&[
        "generate.overhead",
        "generate.overhead.image",
        "generate.demo20",
        "generate.coordinator",
    ]) {
        generate::run(&mut report, effort, &mut peers).await?;
    }
    if wanted(&shared_steps::NAMES) {
        shared_steps::run(&mut report, effort, &mut peers).await?;
    }
    if wanted(&["worker.rss_over_ort", "worker.idle_cpu"]) {
        daemon::run(&mut report, effort).await?;
    }
    if report.cases.is_empty() {
        bail!("no case's name starts with {only:?}: bench/README.md lists them");
    }
    report.notes = peers.notes;
    report.notes.push(format!("load of the machine: {before} before, {} after", load()));
    report.print();
    report.write(path)
}
