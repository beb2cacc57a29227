//! What can be done to a fleet, drawn from a seed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use hearth_tests::Loss;

/// One fault. A worker is named by its rank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Act {
    /// A worker is killed, and started again after a while.
    Kill(usize, Duration),
    /// A worker is frozen for a while.
    Freeze(usize, Duration),
    /// A worker is asked to end, and started again.
    Terminate(usize),
    /// A worker is asked to read its config again.
    Reload(usize),
    /// A worker's certificate is replaced by a new one of the same name.
    RenewCertificate(usize),
    /// Datagrams to and from a worker are lost for a while.
    Lose(usize, Loss, Duration),
    /// etcd is killed, and started again after a while.
    KillEtcd(Duration),
    /// etcd is frozen for a while.
    FreezeEtcd(Duration),
    /// etcd is killed, and started again with nothing in it.
    WipeEtcd,
}

impl Act {
    /// Whether what the worker computes may be lost by it, and the worker counted as lost.
    pub(crate) fn loses_a_worker(self) -> bool {
        matches!(self, Self::Kill(..) | Self::Freeze(..) | Self::Lose(..))
    }
}

/// Draws the next fault.
pub(crate) fn draw(random: &mut fastrand::Rng, workers: usize) -> Act {
    let worker = random.usize(0..workers);
    let mut while_ms = |range| Duration::from_millis(random.u64(range));
    let (short, long) = (while_ms(0..4000), while_ms(1000..12_000));
    match random.u8(0..14) {
        0..=3 => Act::Kill(worker, short),
        4 | 5 => Act::Freeze(worker, long),
        6 => Act::Terminate(worker),
        7 => Act::Reload(worker),
        8 => Act::RenewCertificate(worker),
        9 => Act::Lose(worker, Loss::PARTITION, long),
        10 => {
            let percent = random.u8(1..=20);
            let to_worker = Loss { to_worker: 100, from_worker: 0 };
            let from_worker = Loss { to_worker: 0, from_worker: 100 };
            let both = Loss { to_worker: percent, from_worker: percent };
            Act::Lose(worker, [to_worker, from_worker, both][random.usize(0..3)], long)
        }
        11 => Act::KillEtcd(short),
        12 => Act::FreezeEtcd(short),
        _ => Act::WipeEtcd,
    }
}

/// Prints how often each was done.
pub(crate) fn print(acts: &[(Range<Instant>, Act)]) {
    let mut counts = BTreeMap::<String, usize>::new();
    for (_, act) in acts {
        let text = format!("{act:?}");
        let name = text.split('(').next().unwrap_or_default().to_owned();
        *counts.entry(name).or_default() += 1;
    }
    println!("{} faults: {counts:?}", acts.len());
}
