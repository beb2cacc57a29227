//! The cases, in the order of the report.

mod daemon;
mod generate;
mod rpc;

use std::path::Path;

use anyhow::Result;

use crate::report::Report;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Times that each subject has its turn.
    pub(crate) rounds: usize,
    /// Empty calls of one turn.
    pub(crate) calls: usize,
    /// Large replies of one turn.
    pub(crate) replies: usize,
    /// Pictures.
    pub(crate) pictures: usize,
    /// Seconds of watching an idle worker.
    pub(crate) idle_s: u64,
}

impl Effort {
    const FULL: Self = Self { rounds: 7, calls: 400, replies: 8, pictures: 20, idle_s: 20 };
    const QUICK: Self = Self { rounds: 2, calls: 20, replies: 1, pictures: 2, idle_s: 2 };
}

pub(crate) async fn run(only: &str, quick: bool, path: &Path) -> Result<()> {
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let wanted = |name: &str| name.starts_with(only) || only.starts_with(name);
    let mut report = Report::new();
    if wanted("rpc") {
        rpc::run(&mut report, only, effort).await?;
    }
    if wanted("generate") {
        generate::run(&mut report, effort).await?;
    }
    if wanted("worker") {
        daemon::run(&mut report, effort).await?;
    }
    report.print();
    report.write(path)
}
