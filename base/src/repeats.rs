//! Log lines that others can provoke, bounded: per peer and cause one line in a span of time.
//!
//! The first is written at once. What follows is counted, and the count is written when the span is
//! over. Time comes in as an argument; writing is the caller's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What further lines are counted under once there are too many to tell apart.
const OTHERS: &str = "others";

/// What was said lately, and how often it was not said again. Shared by all who say it.
#[derive(Debug)]
pub struct Repeats {
    span: Duration,
    most: usize,
    spans: Mutex<HashMap<Topic, Span>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Topic {
    peer: String,
    cause: String,
}

impl Topic {
    fn new(peer: &str, cause: &str) -> Self {
        Self { peer: peer.to_owned(), cause: cause.to_owned() }
    }
}

#[derive(Debug)]
struct Span {
    since: Instant,
    /// Lines that were not written.
    withheld: u64,
}

/// Lines about one peer and cause that were not written in a span that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// Who provoked them; `others` for all who were too many to be told apart.
    pub peer: String,
    /// What they said; `others` as well.
    pub cause: String,
    /// How many they were.
    pub count: u64,
}

impl Repeats {
    /// Tells at most `most` peers and causes apart, in spans of this length.
    #[must_use]
    pub fn new(span: Duration, most: usize) -> Self {
        Self { span, most, spans: Mutex::default() }
    }

    /// Whether a line about this peer and cause is to be written now; else it is counted.
    pub fn allow(&self, peer: &str, cause: &str, now: Instant) -> bool {
        let mut spans = self.lock();
        let mut topic = Topic::new(peer, cause);
        if spans.len() >= self.most && !spans.contains_key(&topic) {
            topic = Topic::new(OTHERS, OTHERS);
        }
        let Some(span) = spans.get_mut(&topic) else {
            spans.insert(topic, Span { since: now, withheld: 0 });
            return true;
        };
        if span.withheld == 0 && now.saturating_duration_since(span.since) >= self.span {
            span.since = now;
            return true;
        }
        span.withheld = span.withheld.saturating_add(1);
        false
    }

    /// What was withheld in spans that are over: a line each. To be called about once a second.
    pub fn take_omissions(&self, now: Instant) -> Vec<Omission> {
        let mut taken = Vec::new();
        self.lock().retain(|Topic { peer, cause }, span| {
            if now.saturating_duration_since(span.since) < self.span {
                return true;
            }
            let count = std::mem::take(&mut span.withheld);
            if count == 0 {
                return false;
            }
            // What goes on is said once more at the end of the next span.
            span.since = now;
            taken.push(Omission { peer: peer.clone(), cause: cause.clone(), count });
            true
        });
        taken
    }

    /// Writes what was withheld in spans that are over to the log.
    pub fn log_omissions(&self, now: Instant) {
        for Omission { peer, cause, count } in self.take_omissions(now) {
            tracing::info!(peer, cause, count, "further such lines were left out");
        }
    }

    /// A panic elsewhere leaves the map whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    #[test]
    fn one_line_for_each_peer_and_cause_and_then_a_count() {
        let (repeats, start) = (Repeats::new(SPAN, 100), Instant::now());
        let allowed = (0..20_000).filter(|_| repeats.allow("c1", "refused", start)).count();
        assert_eq!(allowed, 1);
        assert!(repeats.allow("c1", "connected", start));
        assert!(repeats.allow("c2", "refused", start));
        assert_eq!(repeats.take_omissions(start + SPAN / 2), []);

        let omission =
            |count| Omission { peer: "c1".to_owned(), cause: "refused".to_owned(), count };
        assert_eq!(repeats.take_omissions(start + SPAN), [omission(19_999)]);
        assert!(!repeats.allow("c1", "refused", start + SPAN), "a count and not a line again");
        assert!(repeats.allow("c2", "refused", start + SPAN));
        assert_eq!(repeats.take_omissions(start + 2 * SPAN), [omission(1)]);
        assert_eq!(repeats.take_omissions(start + 3 * SPAN), []);
        assert!(repeats.allow("c1", "refused", start + 3 * SPAN));
        // Without a sweep between them, too.
        assert!(repeats.allow("c1", "refused", start + 4 * SPAN));
    }

    #[test]
    fn strangers_beyond_the_bound_share_one_line() {
        let (repeats, start) = (Repeats::new(SPAN, 3), Instant::now());
        let peers: Vec<_> = (0..1000).map(|peer| peer.to_string()).collect();
        let allowed = peers.iter().filter(|peer| repeats.allow(peer, "refused", start)).count();
        assert_eq!(allowed, 4, "three, and one for all others");
        assert!(repeats.lock().len() <= 4);
        let omissions = repeats.take_omissions(start + SPAN);
        assert_eq!(
            omissions,
            [Omission { peer: OTHERS.to_owned(), cause: OTHERS.to_owned(), count: 996 }]
        );
    }
}
