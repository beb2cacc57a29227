//! Items that end before they are done: their callers give them up, or the worker does.

use std::time::{Duration, Instant};

use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_protocol::methods::RequestState;

use super::{Plan, entry, lifecycle, obey};
use crate::items::ItemId;

impl Plan {
    /// Ends an item for a caller that gives it up, unless another one waits for it too.
    pub(crate) fn give_up(&mut self, id: ItemId, kind: ErrorKind, now: Instant) {
        if self.board.items.has_one_caller(id) {
            self.board.stop(id, kind, now);
        }
        self.advance(now);
    }

    /// Stops a request's items: those that `caller` has asked for, or all for an administrator (`None`);
    /// says how many.
    ///
    /// # Errors
    /// `permission_denied` where all that could be stopped is others'.
    pub(crate) fn cancel(
        &mut self,
        request: &RequestId,
        caller: Option<&str>,
        now: Instant,
    ) -> Result<u32, CallError> {
        let ids = self.board.items.cancellable(request, caller)?;
        let stopped = self.stop_all(&ids, ErrorKind::Cancelled, now);
        self.advance(now);
        Ok(stopped)
    }

    /// Stops everything, when a drain took too long.
    pub(crate) fn cancel_all(&mut self, now: Instant) {
        let ids = self.board.items.unfinished();
        self.stop_all(&ids, ErrorKind::Draining, now);
        self.advance(now);
    }

    fn stop_all(&mut self, ids: &[ItemId], kind: ErrorKind, now: Instant) -> u32 {
        let stopped = ids.iter().filter(|&&id| self.board.stop(id, kind, now)).count();
        u32::try_from(stopped).unwrap_or(u32::MAX)
    }

    /// A run of a graph has taken `busy` and may never end: what computes fails here and is for
    /// another worker, what waits is refused, and so is all that comes. What has left compute becomes
    /// a file all the same.
    pub(crate) fn hang(&mut self, busy: Duration, now: Instant) {
        obey::hang(&mut self.board);
        for id in self.board.items.unfinished() {
            if self.board.line.stage(id) == Some(&entry::Stage::Encoding) {
                continue;
            }
            let view = self.board.items.view(id);
            let computes = view.is_some_and(|view| view.state == RequestState::Running);
            let error = if computes { lifecycle::hung(busy) } else { lifecycle::about_to_end() };
            self.board.fail(id, error, now);
        }
        self.advance(now);
    }
}
