//! The `command` launcher: the suite of all launchers through the shipped programs and a real SSH
//! server, what is theirs, and what programs can do wrong.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "../conformance/mod.rs"]
mod conformance;
mod ssh;
mod wrong;

use std::path::Path;
use std::time::{Duration, Instant};

/// Until anything has happened, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Waits until a process has ended.
async fn gone(pid: &str) {
    let began = Instant::now();
    let path = Path::new("/proc").join(pid).join("cmdline");
    // One that nobody has waited for yet has an empty one.
    while std::fs::read(&path).is_ok_and(|line| !line.is_empty()) {
        assert!(began.elapsed() < LIMIT, "{pid} lives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
