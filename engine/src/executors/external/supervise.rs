//! One worker's task: connects, learns who is there, holds the connection, connects again.
//!
//! It never gives up while the registry lists the worker, and it never ends a connection that
//! lives, except that of a run which the registry says is over, and one to an address that the
//! worker no longer announces, once there is another in its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use hearth_api::{CallError, ErrorKind, Incarnation, RequestId};
use hearth_base::repeats::Repeats;
use hearth_fabric::quic::Connector;
use hearth_protocol::methods::{GetRank, Health, Method, ModelList, Stats};
use hearth_protocol::record::ModelRecord;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::dial::dial;
use super::heartbeat;
use super::link::Link;
use super::shared::Shared;
use crate::fleet::{Description, Key, Target};

/// Pauses between tries: short at first, and then short enough to be back soon after a network is.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that lasts no longer is followed by a pause.
const BRIEF: Duration = Duration::from_millis(500);
/// Of each thing that can be said of a connection, one line in so long a time.
const LINE_SPAN: Duration = Duration::from_secs(10);
const LINES: usize = 8;

/// How often a worker is asked what no fresh record says.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long its answer may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Keeps the connection for `key` until `cancel`.
pub(super) async fn supervise(
    key: Key,
    wanted: watch::Receiver<Target>,
    connector: Connector,
    shared: Arc<Shared>,
    cancel: CancellationToken,
) {
    let said = Repeats::new(LINE_SPAN, LINES);
    let mut supervisor = Supervisor { key, wanted, connector, shared, last_error: None, said };
    let forever = async {
        loop {
            let (mut held, announced) = supervisor.connect().await;
            let made = Instant::now();
            let reason = supervisor.hold(&mut held, announced).await;
            supervisor.lost(held, reason);
            supervisor.said.log_omissions(Instant::now());
            // A worker that lets this side in and puts it out at once keeps nobody busy.
            tokio::time::sleep(BRIEF.saturating_sub(made.elapsed())).await;
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        () = forever => {}
    }
}

struct Supervisor {
    key: Key,
    wanted: watch::Receiver<Target>,
    connector: Connector,
    shared: Arc<Shared>,
    /// The last error, so that a lasting one is logged once.
    last_error: Option<String>,
    /// What was logged lately.
    said: Repeats,
}

/// A link in use. Dropping it takes it out of use and closes it, however the task ends.
struct LinkGuard {
    link: Arc<Link>,
    shared: Arc<Shared>,
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.shared.remove(&self.link);
        self.link.connection.close();
    }
}

impl Supervisor {
    /// Tries until there is a connection. Also returns the run that was announced at that time.
    async fn connect(&mut self) -> (LinkGuard, Option<Incarnation>) {
        let mut pauses = pauses();
        loop {
            let target = self.wanted.borrow_and_update().clone();
            if !target.listed {
                changed(&mut self.wanted).await;
                continue;
            }
            let mut wanted = self.wanted.clone();
            let tried = tokio::select! {
                biased;
                () = moved(&mut wanted, &target) => {
                    pauses = self::pauses();
                    continue;
                }
                tried = self.try_connect(&target) => tried,
            };
            match tried {
                Ok(held) => return (held, target.incarnation),
                Err(error) => self.failed(&error),
            }
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            tokio::select! {
                biased;
                () = moved(&mut wanted, &target) => pauses = self::pauses(),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn try_connect(&self, target: &Target) -> Result<LinkGuard, CallError> {
        let connection =
            dial(&self.connector, &target.addresses, target.fingerprint.as_deref()).await?;
        let link = Arc::new(Link::new(connection));
        let description = match needs_asking(target, &link) {
            true => Some(describe(&link).await?),
            false => None,
        };
        let held = LinkGuard { link: Arc::clone(&link), shared: Arc::clone(&self.shared) };
        // In use before the view says so.
        self.shared.update(|fleet| {
            let connected = fleet.connected(&self.key, link.introduction(), description);
            if connected.is_ok() {
                self.shared.add(Arc::clone(&link));
            }
            connected.map_err(|reason| CallError::new(ErrorKind::Protocol, reason))
        })?;
        if self.said.allow(link.worker.as_str(), "connected", Instant::now()) {
            let address = link.connection.remote_address();
            tracing::info!(worker = %link.worker, %address, "connected");
        }
        Ok(held)
    }

    fn failed(&mut self, error: &CallError) {
        let error = error.to_string();
        if self.last_error.as_ref() != Some(&error) {
            tracing::warn!(worker = ?self.key, error, "no connection, trying again");
            self.last_error = Some(error.clone());
        }
        self.shared.update(|fleet| fleet.failed(&self.key, error));
    }

    /// The connection has ended.
    fn lost(&mut self, held: LinkGuard, reason: String) {
        self.last_error = None;
        if self.said.allow(held.link.worker.as_str(), "the connection has ended", Instant::now()) {
            tracing::warn!(worker = %held.link.worker, reason, "the connection has ended");
        }
        drop(held);
        self.shared.update(|fleet| fleet.lost(&self.key, reason));
        self.shared.lost.notify_one();
    }

    /// Holds a connection until its end, or news that its run is over. Gives the reason.
    async fn hold(&mut self, held: &mut LinkGuard, mut announced: Option<Incarnation>) -> String {
        let settings = self.connector.settings();
        let mut silence = Box::pin(heartbeat::await_silence(Arc::clone(&held.link), settings));
        loop {
            let now = self.wanted.borrow_and_update().clone();
            let link = Arc::clone(&held.link);
            // A record from before the connection may be of an earlier run.
            if now.incarnation != announced {
                announced = now.incarnation;
                if announced.is_some_and(|run| run != link.incarnation) {
                    return "a new run of the worker is announced".to_owned();
                }
            }
            let asking = needs_asking(&now, &link);
            let mut wanted = self.wanted.clone();
            tokio::select! {
                biased;
                reason = link.ended() => return reason,
                () = &mut silence => {
                    let reason = "the worker does not answer: what is sent does not reach it";
                    link.end(reason.to_owned());
                    return reason.to_owned();
                }
                () = changed(&mut wanted) => {}
                next = self.move_to(&now), if has_moved(&now, &link) => {
                    silence = Box::pin(heartbeat::await_silence(Arc::clone(&next.link), settings));
                    let last = std::mem::replace(held, next);
                    last.link.give_way(&held.link);
                }
                description = ask_later(&link), if asking => match description {
                    Ok(description) => {
                        self.shared.update(|fleet| fleet.described(&self.key, description));
                    }
                    // A worker that is gone is noticed by the connection.
                    Err(error) => tracing::debug!(worker = %link.worker, %error, "no answer"),
                },
            }
        }
    }

    /// Connects to where the worker is by now, however often that takes.
    async fn move_to(&self, target: &Target) -> LinkGuard {
        let mut pauses = pauses();
        loop {
            match self.try_connect(target).await {
                Ok(held) => return held,
                Err(error) => tracing::debug!(worker = ?self.key, %error, "not at its new address"),
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }
}

/// Whether the worker announces other addresses than the one that the connection leads to.
fn has_moved(wanted: &Target, link: &Link) -> bool {
    let addresses = &wanted.addresses;
    !addresses.is_empty() && !addresses.contains(&link.connection.remote_address())
}

/// Whether the worker has to be asked because no fresh record describes the connected run.
fn needs_asking(wanted: &Target, link: &Link) -> bool {
    wanted.stale || wanted.incarnation != Some(link.incarnation)
}

async fn ask_later(link: &Arc<Link>) -> Result<Description, CallError> {
    tokio::time::sleep(ASK_EVERY).await;
    describe(link).await
}

/// Asks a worker for what a record would say.
async fn describe(link: &Arc<Link>) -> Result<Description, CallError> {
    let id = RequestId::new(uuid::Uuid::now_v7().to_string())
        .map_err(|error| CallError::new(ErrorKind::Internal, error.to_string()))?;
    let asked = async {
        tokio::try_join!(
            link.ask::<GetRank>(&id, Method::GetRank, ASK_LIMIT),
            link.ask::<Health>(&id, Method::CheckHealth, ASK_LIMIT),
            link.ask::<ModelList>(&id, Method::ListModels, ASK_LIMIT),
            link.ask::<Stats>(&id, Method::Stats, ASK_LIMIT),
        )
    };
    let late = |_| {
        let message = format!("the worker did not say within {ASK_LIMIT:?} what it serves");
        CallError::new(ErrorKind::DeadlineExceeded, message)
    };
    let (rank, health, list, stats) =
        tokio::time::timeout(ASK_LIMIT, asked).await.map_err(late)??;
    let models = list.models.into_iter();
    Ok(Description {
        rank: rank.rank,
        state: health.state,
        models: models
            .map(|m| ModelRecord { name: m.name, aliases: m.aliases, digest: m.digest })
            .collect(),
        capacity: stats.capacity,
        started_at: stats.started_at_ms / 1000,
        suspects: health.suspects,
    })
}

/// Waits until another connection is wanted than the one to `target`.
async fn moved(wanted: &mut watch::Receiver<Target>, target: &Target) {
    let differs = |now: &Target| {
        now.addresses != target.addresses
            || now.fingerprint != target.fingerprint
            || now.incarnation != target.incarnation
            || now.listed != target.listed
    };
    if wanted.wait_for(differs).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for a change. Without a sender the task is about to be cancelled.
async fn changed(wanted: &mut watch::Receiver<Target>) {
    if wanted.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}
