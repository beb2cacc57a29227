//! Whether this machine's clock and the workers' agree: certificates are valid between two times, and
//! a clock that is wrong shuts its machine out.

use std::time::{Duration, SystemTime};

use hearth_engine::WorkerHealth;

use super::finding::Finding;
use crate::output::text;

/// What is no fault yet: certificates forgive a little more.
pub(super) const SKEW: Duration = Duration::from_secs(60);

/// A worker's clock, as seen by this machine's.
pub(super) struct Reading {
    worker: String,
    /// The worker's time, and this machine's at that moment.
    theirs: SystemTime,
    ours: SystemTime,
}

impl Reading {
    /// Of an answer that came at `now`. A worker of an earlier version doesn't say its time.
    pub(super) fn of(answer: &WorkerHealth, now: SystemTime) -> Option<Self> {
        let time = answer.outcome.as_ref().ok()?.time_ms?;
        Some(Self {
            worker: answer.worker.to_string(),
            theirs: SystemTime::UNIX_EPOCH + Duration::from_millis(time),
            // It was read about half-way.
            ours: now - answer.elapsed / 2,
        })
    }

    /// How far this machine is ahead; none where it isn't.
    fn ahead(&self) -> Option<Duration> {
        self.ours.duration_since(self.theirs).ok().filter(|by| *by > SKEW)
    }

    fn behind(&self) -> Option<Duration> {
        self.theirs.duration_since(self.ours).ok().filter(|by| *by > SKEW)
    }
}

/// What the readings say; nothing where there are none.
pub(super) fn judge(readings: &[Reading]) -> Option<Finding> {
    const CHECK: &str = "clocks";
    const KEEP: &str = "keep the clocks with NTP: systemctl enable --now systemd-timesyncd";
    let first = readings.first()?;
    let all = readings.len() as u64;
    let by_all = |off: fn(&Reading) -> Option<Duration>| {
        readings.iter().map(off).collect::<Option<Vec<_>>>()?.into_iter().min()
    };
    let whose = match readings {
        [_] => format!("worker {}'s", first.worker),
        _ => format!("those of all {}", text::count(all, "worker")),
    };
    let wrong =
        |found: String, which: &str| Some(Finding::wrong(CHECK, found, format!("{which}; {KEEP}")));
    let own = match readings {
        [_] => "one of the two clocks is wrong: set it",
        _ => "this machine's clock is the one to set",
    };
    if let Some(by) = by_all(Reading::ahead) {
        return wrong(format!("this machine's clock is {} ahead of {whose}", text::span(by)), own);
    }
    if let Some(by) = by_all(Reading::behind) {
        return wrong(format!("this machine's clock is {} behind {whose}", text::span(by)), own);
    }
    let others: Vec<String> = readings
        .iter()
        .filter_map(|reading| {
            let (by, side) = match (reading.ahead(), reading.behind()) {
                (Some(by), _) => (by, "behind"),
                (_, Some(by)) => (by, "ahead"),
                (None, None) => return None,
            };
            Some(format!("worker {}'s clock is {} {side}", reading.worker, text::span(by)))
        })
        .collect();
    if others.is_empty() {
        let theirs = if all == 1 { "1 worker's".to_owned() } else { format!("{all} workers'") };
        return Some(Finding::ok(CHECK, format!("this machine's and {theirs} agree")));
    }
    wrong(others.join("; "), "set those clocks")
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    /// Readings of workers whose clocks are so many seconds ahead of this machine's.
    fn readings(offsets: &[i64]) -> Vec<Reading> {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let theirs = |offset: i64| match u64::try_from(offset) {
            Ok(ahead) => ours + Duration::from_secs(ahead),
            Err(_) => ours - Duration::from_secs(offset.unsigned_abs()),
        };
        let reading = |(index, offset): (usize, &i64)| Reading {
            worker: format!("w{index}"),
            theirs: theirs(*offset),
            ours,
        };
        offsets.iter().enumerate().map(reading).collect()
    }

    #[test]
    fn the_clock_that_is_wrong_is_named() {
        assert!(judge(&[]).is_none());
        for (offsets, state, found) in [
            (&[0, -59, 30][..], State::Ok, "this machine's and 3 workers' agree"),
            (&[0], State::Ok, "this machine's and 1 worker's agree"),
            (
                &[-3600, -3601],
                State::Wrong,
                "this machine's clock is 60 min ahead of those of all 2 workers",
            ),
            (&[-34_560_000], State::Wrong, "this machine's clock is 400 d ahead of worker w0's"),
            (
                &[3600, 3700],
                State::Wrong,
                "this machine's clock is 60 min behind those of all 2 workers",
            ),
            (&[0, 7200], State::Wrong, "worker w1's clock is 2 h ahead"),
            (
                &[-90, 0, 90],
                State::Wrong,
                "worker w0's clock is 90 s behind; worker w2's clock is 90 s ahead",
            ),
        ] {
            let finding = judge(&readings(offsets)).unwrap();
            assert_eq!((finding.state, finding.found.as_str()), (state, found), "{offsets:?}");
        }
        let alone = judge(&readings(&[-3600])).unwrap().remedy.unwrap();
        assert!(alone.starts_with("one of the two clocks"), "{alone}");
    }
}
