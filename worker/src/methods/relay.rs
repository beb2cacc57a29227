//! Passes on to a caller how its item goes, until the item ends or the caller's time is over.

use std::time::Duration;

use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::Responder;
use hearth_protocol::message::{Accepted, Phase, Preview, Progress, Request};
use tokio::sync::watch;
use tokio::time::Instant;

use super::reply::attachment;
use crate::items::ItemView;

/// What came first.
pub(super) enum End {
    Item,
    Caller,
    Deadline,
    Connection,
}

/// When a call's time is over.
pub(super) fn deadline_of(request: &Request) -> Option<Instant> {
    request.deadline_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
}

pub(super) fn deadline_exceeded() -> CallError {
    let message = "the deadline passed: give more time or fewer steps";
    CallError::new(ErrorKind::DeadlineExceeded, message)
}

/// What a caller knows of its item already.
#[derive(Default)]
pub(super) struct Relay {
    position: Option<u32>,
    progress: Option<(Phase, u32, u32)>,
    preview: u32,
}

impl Relay {
    /// Passes on what happens until the item ends or the time is over. What is being sent then is
    /// sent first.
    pub(super) async fn run(
        &mut self,
        view: &mut watch::Receiver<ItemView>,
        responder: &mut Responder,
        deadline: Option<Instant>,
    ) -> End {
        loop {
            let now = view.borrow_and_update().clone();
            if now.outcome.is_some() {
                return End::Item;
            }
            if self.pass_on(&now, responder).await.is_err() {
                return End::Connection;
            }
            let changed = match deadline {
                None => Ok(view.changed().await),
                Some(at) => tokio::time::timeout_at(at, view.changed()).await,
            };
            match changed {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return End::Item,
                Err(_) => return End::Deadline,
            }
        }
    }

    async fn pass_on(
        &mut self,
        now: &ItemView,
        responder: &mut Responder,
    ) -> Result<(), hearth_fabric::quic::Error> {
        if self.position.replace(now.queue_position) != Some(now.queue_position) {
            let (queue_position, sharing) = (now.queue_position, now.sharing);
            responder.accepted(Accepted { queue_position, sharing }).await?;
        }
        let progress = (now.phase, now.step, now.steps);
        let is_known = self.progress.replace(progress) == Some(progress);
        if now.phase != Phase::Queue && !is_known {
            let progress = Progress { phase: now.phase, step: now.step, steps: now.steps };
            responder.progress(&progress).await?;
        }
        if let Some(preview) = now.preview.as_ref().filter(|preview| preview.step > self.preview) {
            self.preview = preview.step;
            let attachment = attachment("preview", "image/png", &preview.png);
            let header = Preview { step: preview.step, attachment };
            responder.preview(&header, preview.png.clone()).await?;
        }
        Ok(())
    }
}
