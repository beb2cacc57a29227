//! A request's events on their way to its caller.
//!
//! Nobody ever waits for a slow reader, and memory stays bounded all the same: of progress and
//! previews only the newest per item is kept, and all else happens a few times per item.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::output::RequestEvent;

/// The events that have not been read.
#[derive(Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<RequestEvent>,
    /// By item.
    progress: BTreeMap<u32, RequestEvent>,
    previews: BTreeMap<u32, RequestEvent>,
    closed: bool,
}

impl Mailbox {
    /// Adds an event.
    pub(super) fn push(&self, event: RequestEvent) {
        self.state().add(event);
        self.filled.notify_one();
    }

    /// Nothing follows.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
    }

    /// The next event; none when it is closed and empty. For one reader.
    pub(super) async fn next(&self) -> Option<RequestEvent> {
        loop {
            {
                let mut state = self.state();
                if let Some(event) = state.take() {
                    return Some(event);
                }
                if state.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, event: RequestEvent) {
        match &event {
            RequestEvent::Progress { item, .. } => {
                self.progress.insert(*item, event);
                return;
            }
            RequestEvent::Preview { item, .. } => {
                self.previews.insert(*item, event);
                return;
            }
            RequestEvent::Retried { item, .. } | RequestEvent::ItemFailed { item, .. } => {
                self.forget(*item);
            }
            RequestEvent::Item(output) => self.forget(output.index),
            RequestEvent::Assigned { .. }
            | RequestEvent::Accepted { .. }
            | RequestEvent::Finished(_) => {}
        }
        self.events.push_back(event);
    }

    /// Drops what the item said before its end or its retry.
    fn forget(&mut self, item: u32) {
        self.progress.remove(&item);
        self.previews.remove(&item);
    }

    fn take(&mut self) -> Option<RequestEvent> {
        let event = self.events.pop_front();
        let event = event.or_else(|| self.previews.pop_first().map(|(_, event)| event));
        event.or_else(|| self.progress.pop_first().map(|(_, event)| event))
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::{CallError, ErrorKind, WorkerId};
    use hearth_protocol::message::Phase;

    use super::*;

    fn progress(item: u32, step: u32) -> RequestEvent {
        let worker = WorkerId::new("w").unwrap();
        RequestEvent::Progress { item, worker, step, steps: 20, phase: Phase::Generation }
    }

    #[tokio::test]
    async fn the_newest_progress_wins_and_an_end_forgets_it() {
        let mailbox = Mailbox::default();
        for step in 0..1000 {
            mailbox.push(progress(0, step));
            mailbox.push(progress(1, step));
        }
        let error = CallError::new(ErrorKind::ModelFailed, "x");
        mailbox.push(RequestEvent::ItemFailed { item: 1, error });
        mailbox.close();
        let first = mailbox.next().await;
        assert!(matches!(first, Some(RequestEvent::ItemFailed { item: 1, .. })), "{first:?}");
        let next = mailbox.next().await;
        assert!(matches!(next, Some(RequestEvent::Progress { item: 0, step: 999, .. })));
        assert!(mailbox.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let mailbox = Mailbox::default();
        let (event, ()) = tokio::join!(mailbox.next(), async { mailbox.push(progress(0, 1)) });
        assert!(event.is_some());
        let (event, ()) = tokio::join!(mailbox.next(), async { mailbox.close() });
        assert!(event.is_none());
    }
}
