//! A bound on the lines that refused connections leave in the log.

use std::time::{Duration, Instant};

/// Limits how many refusals are logged, so that strangers can't fill a disk.
pub(super) struct Quota {
    since: Instant,
    lines: u32,
}

impl Quota {
    const LINES: u32 = 100;
    const SPAN: Duration = Duration::from_secs(60);

    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, lines: 0 }
    }

    /// Whether one more is logged. The last logged line says that further ones are left out.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Self::SPAN {
            *self = Self::new(now);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines == Self::LINES {
            tracing::warn!("more refused connections are not logged for up to {:?}", Self::SPAN);
        }
        self.lines < Self::LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_up_to_a_bound_and_again_later() {
        let start = Instant::now();
        let mut quota = Quota::new(start);
        assert_eq!((0..1000).filter(|_| quota.take(start)).count(), 99);
        assert!(quota.take(start + Quota::SPAN));
    }
}
