//! The running worker's control loop: from its models' coming to the end of its last request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hearth_daemon::systemd;
use hearth_protocol::record::WorkerState;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::compute::{LoadError, Plan, Threads};
use crate::error::Error;
use crate::report::Reporter;
use crate::shared::Shared;

/// How often deadlines and orphans are looked after, and what has changed is reported.
const TICK: Duration = Duration::from_millis(500);

/// How much longer systemd is to wait, as said anew at each tick while weights load or requests are
/// drained: more than what follows a drain takes at most.
const EXTENSION: Duration = Duration::from_secs(60);

/// How often a drain looks whether it is over.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// How long the replies of the last requests may take to be written once a drain is over.
pub(crate) const LAST_REPLIES: Duration = Duration::from_secs(5);

/// How long a worker that hangs goes on to say so, in its record and to its callers.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The running worker's control loop.
pub(crate) struct ControlLoop<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) threads: &'a Threads,
    pub(crate) reporter: Reporter,
}

impl ControlLoop<'_> {
    /// Serves until it is asked to stop, or can't go on.
    ///
    /// # Errors
    /// [`Error::Model`], [`Error::Hung`], [`Error::EngineEnded`].
    pub(crate) async fn serve(
        &mut self,
        loaded: oneshot::Receiver<Result<(), LoadError>>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut loading = Some(loaded);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.shared.shutdown.cancelled() => return Ok(()),
                outcome = wait_loaded(&mut loading) => {
                    outcome?;
                    self.ready();
                }
                _ = tick.tick() => {
                    if self.threads.have_ended() {
                        return Err(Error::EngineEnded);
                    }
                    if let Some(busy) = self.shared.hung() {
                        return Err(self.hung(busy));
                    }
                    if loading.is_some() {
                        systemd::extend_timeout(EXTENSION);
                    }
                    self.look();
                }
            }
        }
    }

    fn ready(&mut self) {
        match self.shared.inbox.state() {
            WorkerState::Draining => {
                tracing::info!("loaded; drained before its restart: hearth resume ends that");
            }
            _ => tracing::info!("ready"),
        }
        self.reporter.report();
        systemd::ready();
    }

    fn look(&mut self) {
        self.shared.inbox.tick();
        self.shared.refusals.log_omissions(Instant::now());
        self.reporter.report();
    }

    /// A run of a graph has taken `busy`, too long: what it keeps goes to other workers.
    fn hung(&mut self, busy: Duration) -> Error {
        let limit = self.shared.step_timeout;
        tracing::error!(
            ?busy,
            ?limit,
            "a run of a graph takes longer than worker.step_timeout: the worker ends"
        );
        self.shared.journal.condemn();
        self.shared.inbox.change(|plan, now| plan.hang(busy, now));
        self.reporter.report();
        Error::Hung { busy, limit }
    }

    /// Gives word of a hang the time to get around.
    pub(crate) async fn say_last_word(&self) {
        systemd::stopping();
        tokio::time::sleep(LAST_WORD).await;
    }

    /// Refuses new requests and waits for those accepted, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Hung`].
    pub(crate) async fn finish_requests(
        &mut self,
        limit: Duration,
        now: &CancellationToken,
        open: &AtomicUsize,
    ) -> Result<(), Error> {
        systemd::stopping();
        self.shared.inbox.change(Plan::end);
        let drained = async {
            loop {
                self.look();
                if let Some(busy) = self.shared.hung() {
                    return Err(self.hung(busy));
                }
                systemd::extend_timeout(EXTENSION);
                let busy = self.shared.inbox.look(|plan| plan.items().is_busy());
                if self.threads.have_ended() || !busy {
                    return Ok(());
                }
                tokio::time::sleep(DRAIN_TICK).await;
            }
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(limit, drained) => ended.ok(),
            () = now.cancelled() => None,
        };
        match ended {
            Some(Ok(())) => {}
            Some(Err(hung)) => {
                self.say_last_word().await;
                return Err(hung);
            }
            None => {
                tracing::warn!("the drain did not end in time: what runs is cancelled");
                self.shared.inbox.change(Plan::cancel_all);
            }
        }
        self.shared.closing.cancel();
        let replied = async {
            while open.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(LAST_REPLIES, replied).await.is_err() {
            tracing::warn!("some callers did not take their replies");
        }
        Ok(())
    }
}

/// Waits for the models once, and never again.
async fn wait_loaded(
    loading: &mut Option<oneshot::Receiver<Result<(), LoadError>>>,
) -> Result<(), Error> {
    match loading {
        None => std::future::pending().await,
        Some(receiver) => {
            let outcome = receiver.await;
            *loading = None;
            outcome.map_err(|_| Error::EngineEnded)?.map_err(Error::from)
        }
    }
}
