//! Whether there is room for one more item, and what is said to a caller for whose item there is
//! none: when to come back.
//!
//! Places go to callers in the order in which they first came. One that was refused keeps its turn
//! for as long as it comes back when it was told to, so that newcomers can't starve it.

use std::time::{Duration, Instant};

use hearth_api::CallError;
use hearth_protocol::message::Load;

use super::bounds::{Bounds, Counts};
use super::item::ItemKey;
use super::pace::Pace;
use super::refusals::{queue_full, would_wait};
use super::standby::Standby;

/// When a caller is told to come back where no item has shown how long that may take.
const UNKNOWN: Duration = Duration::from_millis(500);
/// At least: a place may be free at any moment.
const SOONEST: Duration = Duration::from_millis(50);
/// At most: what holds the places may end otherwise than it seems.
const LATEST: Duration = Duration::from_secs(60);

/// The items that take up room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occupancy {
    pub(super) running: u32,
    pub(super) queued: u32,
}

impl From<Counts> for Occupancy {
    fn from(Counts { running, queued, .. }: Counts) -> Self {
        Self { running, queued }
    }
}

/// The room for items.
pub(super) struct Room {
    bounds: Bounds,
    pace: Pace,
    standby: Standby,
}

impl Room {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, pace: Pace::default(), standby: Standby::default() }
    }

    /// An item begins.
    pub(super) fn began(&mut self, now: Instant) {
        self.pace.began(now);
    }

    /// An item has left its slot, with a result or without, and so many still run.
    pub(super) fn ended(&mut self, is_result: bool, running: u32, now: Instant) {
        self.pace.ended(is_result, running, now);
    }

    /// Items that run before the one at a position of the queue.
    pub(super) fn ahead(&self, running: u32, position: usize) -> u32 {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        running.saturating_add(position).saturating_sub(self.bounds.slots - 1)
    }

    /// Checks that there is a place for one more item, with at most `most` others before it.
    ///
    /// # Errors
    /// `queue_full`, which says when to come back.
    pub(super) fn check(
        &mut self,
        taken: Occupancy,
        key: &ItemKey,
        most: Option<u32>,
        now: Instant,
    ) -> Result<(), CallError> {
        let position = self.ahead(taken.running, taken.queued as usize);
        // A free slot takes an item as soon as the plan looks, so it does not count as waiting.
        let idle = self.bounds.slots.saturating_sub(taken.running);
        let places = self.bounds.queue.saturating_add(idle).saturating_sub(taken.queued);
        let before = u32::try_from(self.standby.ahead(key, now)).unwrap_or(u32::MAX);
        // No slot is left idle for a caller that may not come back.
        let is_free = places > before || idle > taken.queued;
        if let Some(most) = most {
            // Its caller has a place elsewhere.
            return if is_free && position <= most {
                Ok(())
            } else {
                Err(would_wait(position, most))
            };
        }
        if is_free {
            return Ok(());
        }
        let ends = before.saturating_add(1).saturating_sub(places);
        let wait = self.pace.until(ends, now).unwrap_or(UNKNOWN).clamp(SOONEST, LATEST);
        self.standby.put(key, wait, now);
        Err(queue_full(taken.queued, wait))
    }

    /// An item has a place.
    pub(super) fn admitted(&mut self, key: &ItemKey) {
        self.standby.remove(key);
    }

    /// What there is to do.
    pub(super) fn load(&self, taken: Occupancy) -> Load {
        let Occupancy { running, queued } = taken;
        let item_ms = self.pace.interval();
        let item_ms = item_ms.map(|each| u32::try_from(each.as_millis()).unwrap_or(u32::MAX));
        Load { running, queued, item_ms }
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::ErrorKind;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(index: u32) -> ItemKey {
        ItemKey { request: "r".parse().unwrap(), index }
    }

    fn room(slots: u32, queue: u32) -> Room {
        Room::new(Bounds { slots, queue, orphan_grace: SECOND })
    }

    fn taken(running: u32, queued: u32) -> Occupancy {
        Occupancy { running, queued }
    }

    /// The milliseconds after which a refused caller is to come back; none for one that is let in.
    fn told(checked: Result<(), CallError>) -> Option<u32> {
        let error = checked.err()?;
        assert!(error.kind == ErrorKind::QueueFull && error.retryable, "{error}");
        error.retry_after_ms
    }

    #[test]
    fn who_is_refused_learns_when_its_place_is_free() {
        let now = Instant::now();
        let mut room = room(1, 2);
        assert_eq!(told(room.check(taken(1, 1), &key(0), None, now)), None);
        assert_eq!(told(room.check(taken(1, 2), &key(0), None, now)), Some(500), "not known yet");
        room.began(now);
        room.ended(true, 1, now + 2 * SECOND);
        let now = now + 3 * SECOND;
        assert_eq!(told(room.check(taken(1, 2), &key(0), None, now)), Some(1000));
        assert_eq!(
            told(room.check(taken(1, 2), &key(1), None, now)),
            Some(3000),
            "after the first"
        );
        assert_eq!(told(room.check(taken(1, 2), &key(0), None, now)), Some(1000));
        let longest = (2..99).map(|index| told(room.check(taken(1, 2), &key(index), None, now)));
        assert_eq!(longest.max().unwrap(), Some(60_000));
        assert_eq!(room.load(taken(1, 2)), Load { running: 1, queued: 2, item_ms: Some(2000) });
    }

    #[test]
    fn a_newcomer_takes_no_place_that_another_was_told_to_come_back_for() {
        let now = Instant::now();
        let mut room = room(1, 2);
        assert!(told(room.check(taken(1, 2), &key(0), None, now)).is_some());
        assert!(
            told(room.check(taken(1, 1), &key(1), None, now)).is_some(),
            "not before the first"
        );
        assert!(room.check(taken(1, 1), &key(2), Some(9), now).is_err());
        assert_eq!(told(room.check(taken(1, 1), &key(0), None, now)), None);
        room.admitted(&key(0));
        assert!(told(room.check(taken(1, 2), &key(2), None, now)).is_some());
        assert_eq!(told(room.check(taken(1, 1), &key(1), None, now)), None, "then the second");
        // A slot that would idle goes to whoever comes.
        assert_eq!(told(room.check(taken(0, 0), &key(7), None, now)), None);
        // The turn of one that does not come back is over in time.
        let later = now + 6 * SECOND;
        assert_eq!(told(room.check(taken(1, 1), &key(8), None, later)), None);
    }

    #[test]
    fn a_caller_with_a_place_elsewhere_is_let_in_where_it_waits_less() {
        let now = Instant::now();
        let mut room = room(2, 4);
        for (taken, most, fits) in [
            (taken(0, 0), 0, true),
            (taken(1, 0), 0, true),
            (taken(2, 0), 0, false),
            (taken(2, 0), 1, true),
            (taken(2, 2), 2, false),
            (taken(2, 4), 9, false),
        ] {
            let checked = room.check(taken, &key(0), Some(most), now);
            assert_eq!(checked.is_ok(), fits, "{taken:?}, {most}");
            assert!(checked.err().is_none_or(|error| error.kind == ErrorKind::QueueFull));
        }
    }
}
