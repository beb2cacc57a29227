//! The report: a table for people, JSON for programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// `target/bench/report.json`.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    /// What else to know of this run.
    pub(crate) notes: Vec<String>,
    pub(crate) cases: Vec<Case>,
}

/// One measured case.
#[derive(Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Samples.
    pub(crate) n: usize,
    pub(crate) vs: BTreeMap<String, Versus>,
}

/// A peer's figure of the same run.
#[derive(Serialize)]
pub(crate) struct Versus {
    pub(crate) p50: f64,
    /// Ours over the peer's p50.
    pub(crate) ratio: f64,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { machine: machine(), notes: Vec::new(), cases: Vec::new() }
    }

    pub(crate) fn print(&self) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["case", "unit", "p50", "p99", "n", "beside: p50, ratio"]);
        for case in &self.cases {
            let beside = case.vs.iter().map(|(peer, versus)| {
                format!("{peer} {}, {:.2}", figure(versus.p50), versus.ratio)
            });
            table.add_row([
                case.name.clone(),
                case.unit.to_owned(),
                figure(case.p50),
                figure(case.p99),
                case.n.to_string(),
                beside.collect::<Vec<_>>().join("\n"),
            ]);
        }
        for column in 2..5 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        say(&format!("{}\n{table}", self.machine));
        for note in &self.notes {
            say(&format!("* {note}"));
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(self)?)?;
        say(&format!("report: {}", path.display()));
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "the program's output")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// How busy the machine is: the load averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Processor, cores and kernel, as far as the system tells.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let name = named.and_then(|rest| rest.split_once(": ")).map_or("unknown", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{name}, {cores} cores, Linux {}", kernel.trim())
}
