//! Callers that found no place and were told when to come back: the oldest has the first place that
//! is free.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::item::ItemKey;

/// Most callers whose turn is kept; those beyond come back as newcomers.
const MOST: usize = 1024;

/// How much later than it was told a caller may come back and have its turn.
const GRACE: Duration = Duration::from_secs(5);

/// The callers, oldest first.
#[derive(Debug, Default)]
pub(super) struct Standby {
    callers: VecDeque<Caller>,
}

#[derive(Debug)]
struct Caller {
    key: ItemKey,
    /// When its turn is over.
    until: Instant,
}

impl Standby {
    /// How many have their turn before this one. Those that did not come back are forgotten.
    pub(super) fn ahead(&mut self, key: &ItemKey, now: Instant) -> usize {
        self.callers.retain(|caller| now < caller.until);
        let position = self.callers.iter().position(|caller| caller.key == *key);
        position.unwrap_or(self.callers.len())
    }

    /// A caller is told to come back after `wait`.
    pub(super) fn put(&mut self, key: &ItemKey, wait: Duration, now: Instant) {
        let until = now + wait + GRACE;
        let has_room = self.callers.len() < MOST;
        match self.callers.iter_mut().find(|caller| caller.key == *key) {
            Some(known) => known.until = until,
            None if has_room => self.callers.push_back(Caller { key: key.clone(), until }),
            None => {}
        }
    }

    /// A caller has its place.
    pub(super) fn remove(&mut self, key: &ItemKey) {
        self.callers.retain(|caller| caller.key != *key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> ItemKey {
        ItemKey { request: "r".parse().unwrap(), index }
    }

    #[test]
    fn turns_are_kept_for_those_that_come_back_in_time() {
        let start = Instant::now();
        let wait = Duration::from_secs(1);
        let mut standby = Standby::default();
        standby.put(&key(0), wait, start);
        standby.put(&key(1), wait, start);
        assert_eq!([0, 1, 2].map(|index| standby.ahead(&key(index), start)), [0, 1, 2]);
        let later = start + wait;
        standby.put(&key(1), wait, later);
        assert_eq!(standby.ahead(&key(1), later), 1, "coming back changes no turn");
        assert_eq!(standby.ahead(&key(1), later + GRACE), 0, "the first did not come back");
        standby.remove(&key(1));
        assert_eq!(standby.ahead(&key(2), later + GRACE), 0);
    }

    #[test]
    fn turns_have_a_bound() {
        let now = Instant::now();
        let mut standby = Standby::default();
        (0..2000).for_each(|index| standby.put(&key(index), Duration::ZERO, now));
        assert_eq!(standby.ahead(&key(5000), now), MOST);
    }
}
