//! What processes hold, before and after.

use std::time::{Duration, Instant};

/// How long memory and descriptors may take to be back.
const SETTLE: Duration = Duration::from_secs(30);

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    /// Resident memory, KiB.
    memory: u64,
    descriptors: usize,
}

impl Footprint {
    pub(crate) fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = resident.and_then(|text| text.split_whitespace().next());
        let memory = number.and_then(|text| text.parse().ok()).expect("VmRSS in KiB");
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
        Self { memory, descriptors }
    }

    /// Whether it holds a tenth more than `before`, with room for what a process has of either
    /// whatever it does.
    fn exceeds(self, before: Self) -> bool {
        self.memory > before.memory * 11 / 10 + (16 << 10)
            || self.descriptors > before.descriptors * 11 / 10 + 8
    }
}

/// Looks until all are back where they were, or the time for it is over; gives the last look.
pub(crate) fn settle(before: &[Footprint], look: impl Fn() -> Vec<Footprint>) -> Vec<Footprint> {
    let start = Instant::now();
    loop {
        let now = look();
        let back = now.iter().zip(before).all(|(now, before)| !now.exceeds(*before));
        if back || start.elapsed() > SETTLE {
            return now;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

pub(crate) fn violations(before: &[Footprint], after: &[Footprint]) -> Vec<String> {
    let pairs = before.iter().zip(after).enumerate();
    let grown = pairs.filter(|(_, (before, after))| after.exceeds(**before));
    grown.map(|(i, (before, after))| format!("process {i} grew: {before:?}, {after:?}")).collect()
}

pub(crate) fn print(before: &[Footprint], after: &[Footprint]) {
    for (i, (before, after)) in before.iter().zip(after).enumerate() {
        println!(
            "process {i}: {} → {} MiB, {} → {} descriptors",
            before.memory >> 10,
            after.memory >> 10,
            before.descriptors,
            after.descriptors,
        );
    }
}
