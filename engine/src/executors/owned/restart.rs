//! When a worker that died is started again: soon at first, and not for ever. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Starts again within [`SPAN`]; one that dies more often has a cause that a start does not mend.
const MOST: usize = 5;
const SPAN: Duration = Duration::from_secs(60);

/// Pause before the first start again; each further one within the span takes twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A rank's starts again.
#[derive(Debug, Default)]
pub(super) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// A worker died at `now`: the pause before it is started again; none if it is not.
    pub(super) fn next(&mut self, now: Instant) -> Option<Duration> {
        while self.0.front().is_some_and(|first| now.duration_since(*first) >= SPAN) {
            self.0.pop_front();
        }
        let count = self.0.len();
        if count >= MOST {
            return None;
        }
        self.0.push_back(now);
        // `MOST` is far below 32.
        Some(FIRST_PAUSE * (1 << count))
    }
}

/// How often and how fast, for people.
pub(super) fn limit() -> String {
    format!("{MOST} times within {} s", SPAN.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_within_a_minute_and_then_no_more() {
        let start = Instant::now();
        let mut restarts = Restarts::default();
        let pauses: Vec<_> =
            (0..6).map(|i| restarts.next(start + Duration::from_secs(i))).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(pauses, [ms(200), ms(400), ms(800), ms(1600), ms(3200), None]);
        let later = start + SPAN + Duration::from_secs(2);
        assert_eq!(restarts.next(later), ms(800), "three of them are long past");
    }
}
