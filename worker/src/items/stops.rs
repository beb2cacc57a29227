//! Items that are to end before they are done.

use std::time::Instant;

use hearth_api::ErrorKind;
use hearth_protocol::methods::RequestState;

use super::item::ItemId;
use super::refusals::stopped;
use super::table::Items;

/// What became of an item that was to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopOutcome {
    /// It waited, and has ended.
    Ended,
    /// It runs, and whoever has it must stop it.
    Running,
    /// There was nothing to stop.
    Nothing,
}

impl Items {
    /// Stops an item: at once where it waits. The first reason counts.
    pub(crate) fn stop(&mut self, id: ItemId, kind: ErrorKind, now: Instant) -> StopOutcome {
        let Some(item) = self.item_mut(id) else { return StopOutcome::Nothing };
        match item.view.state {
            RequestState::Queued => {
                self.end(id, Err(stopped(kind)), now);
                StopOutcome::Ended
            }
            RequestState::Running => {
                item.stopping.get_or_insert(kind);
                StopOutcome::Running
            }
            RequestState::Done
            | RequestState::Cancelled
            | RequestState::Failed
            | RequestState::Unknown => StopOutcome::Nothing,
        }
    }

    /// Whether an item is being stopped.
    pub(crate) fn is_stopping(&self, id: ItemId) -> bool {
        self.item(id).is_some_and(|item| item.stopping.is_some())
    }

    /// Ends an item that was stopped, for the reason that it was stopped for.
    pub(crate) fn end_stopped(&mut self, id: ItemId, now: Instant) {
        let why = self.item(id).and_then(|item| item.stopping);
        self.end(id, Err(stopped(why.unwrap_or(ErrorKind::Cancelled))), now);
    }
}
