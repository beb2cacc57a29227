//! Looks after one rank: starts its worker, starts it again when it dies, ends it.

use std::sync::Arc;
use std::time::Instant;

use hearth_api::{Rank, WorkerId};
use tokio_util::sync::CancellationToken;

use super::origin::{Exit, Origin};
use super::restart::{self, Restarts};
use crate::executors::external::Wards;
use crate::fleet::Condition;

/// One rank's keeper.
pub(super) struct Keeper {
    pub(super) id: WorkerId,
    pub(super) rank: u32,
    /// Its rank in the group, where that is known from the start.
    pub(super) place: Option<Rank>,
    pub(super) wards: Wards,
    pub(super) origin: Arc<dyn Origin>,
}

impl Keeper {
    /// Keeps the rank alive until `cancel`, then ends it.
    pub(super) async fn keep(self, cancel: CancellationToken) {
        let mut restarts = Restarts::default();
        while let Some(exit) = self.live(&cancel).await {
            let reason = format!("{} {}", self.id, exit.reason);
            let pause = match exit.lasting {
                true => None,
                false => restarts.next(Instant::now()),
            };
            let Some(pause) = pause else {
                let often = match exit.lasting {
                    true => "another start would fail alike".to_owned(),
                    false => format!("it was started again {}", restart::limit()),
                };
                let reason = format!("{reason}; {often}");
                tracing::error!(worker = %self.id, reason, "a worker has failed for good");
                self.wards.tell(&self.id, self.place, Condition::Failed { reason });
                return;
            };
            tracing::warn!(worker = %self.id, reason, ?pause, "a worker is started again");
            self.wards.tell(&self.id, self.place, Condition::Down { reason });
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One life of the worker; none when it was ended.
    async fn live(&self, cancel: &CancellationToken) -> Option<Exit> {
        if cancel.is_cancelled() {
            return None;
        }
        // A start is not cut off: what it has started would be nobody's.
        let mut run = match self.origin.start(self.rank).await {
            Ok(run) => run,
            Err(exit) => return Some(exit),
        };
        self.wards.tell(&self.id, self.place, Condition::Started);
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                run.stop().await;
                None
            }
            exit = run.ended() => Some(exit),
        }
    }
}
