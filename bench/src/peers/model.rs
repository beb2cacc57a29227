//! The demo model on ONNX Runtime, as a worker loads it, without the worker.

use std::path::Path;

use anyhow::{Context as _, Result};
use hearth_inference::pipelines::{self, LoadOptions};
use hearth_inference::session::{Interrupt, Runtime, Search, find};

/// Loads and warms the model, says how many bytes the process holds, and waits for its owner.
pub(crate) async fn serve() -> Result<()> {
    let (executable, directory) = (std::env::current_exe()?, std::env::current_dir()?);
    let library = find(&Search {
        configured: "auto",
        executable: Some(&executable),
        directory: Some(&directory),
    })?;
    let runtime = Runtime::load(&library, 0)?;
    let options = LoadOptions::default();
    let mut pipeline = pipelines::load(&runtime, Path::new("models/emoji"), &options)?;
    pipelines::warm_up(pipeline.as_mut(), &Interrupt::new())?;
    super::announce_until_closed(&resident()?.to_string()).await
}

/// Resident memory of this process in bytes (`/proc/self/status`, `VmRSS`).
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
