//! Keeps one worker's keys in etcd under a lease.
//!
//! A session that fails is followed by another one under the same lease while that lives, and under
//! a new one after it expired: same id, same rank. Nothing that happens to etcd ends this; only
//! another worker with the same id or rank does, and only before the first registration.
//!
//! A worker whose addresses change gets a new session at once: the one before may be bound to an
//! address that is gone, and would notice that only when its calls have waited for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use hearth_api::Rank;
use hearth_protocol::record::WorkerRecord;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::claim::{Claim, still_held};
use super::cluster::Cluster;
use super::session::{Session, pauses};
use crate::registry::announcement::Desk;
use crate::registry::record::encode;
use crate::registry::state::{State, StateFolder};
use crate::registry::{AnnounceStatus, Error, RankWish};

/// Between two tries while another worker's lease may be about to expire.
const CONFLICT_PAUSE: Duration = Duration::from_millis(500);

/// Keeps a worker announced until it is withdrawn.
pub(super) async fn keep(cluster: Arc<Cluster>, folder: StateFolder, wish: RankWish, desk: Desk) {
    let state = match folder.lock(&cluster.target).await {
        Ok(state) => state,
        Err(error) => return desk.set(AnnounceStatus::Refused(Arc::new(error))),
    };
    let mut keeper = Keeper {
        cluster: &cluster,
        wish,
        desk,
        state,
        lease: None,
        was_registered: false,
        in_use_since: None,
        pauses: pauses(cluster.ttl),
    };
    keeper.run().await;
}

struct Keeper<'a> {
    cluster: &'a Cluster,
    wish: RankWish,
    desk: Desk,
    state: State,
    /// The lease that this run put, or is about to put, its keys under.
    lease: Option<i64>,
    was_registered: bool,
    /// Since when another lease has held our id.
    in_use_since: Option<Instant>,
    /// Between two sessions; short again after a registration.
    pauses: ExponentialBackoff,
}

impl Keeper<'_> {
    async fn run(&mut self) {
        let withdraw = self.desk.withdraw.clone();
        let mut turn = 0;
        loop {
            let error = tokio::select! {
                biased;
                () = withdraw.cancelled() => break,
                error = self.session(turn) => error,
            };
            if self.is_final(&error) {
                self.give_back(turn).await;
                return self.desk.set(AnnounceStatus::Refused(Arc::new(error)));
            }
            let delay = match error.is_conflict() {
                true => CONFLICT_PAUSE,
                false => self.pauses.next().unwrap_or(CONFLICT_PAUSE),
            };
            turn += usize::from(!error.is_conflict());
            self.desk.pending(error);
            tokio::select! {
                biased;
                () = withdraw.cancelled() => break,
                () = tokio::time::sleep(delay) => {}
            }
        }
        self.give_back(turn).await;
        self.desk.set(AnnounceStatus::Withdrawn);
    }

    /// Registers and stays registered until something fails.
    async fn session(&mut self, turn: usize) -> Error {
        loop {
            let addresses = self.desk.record.borrow().endpoints.clone();
            let moved = moved(self.desk.record.clone(), addresses);
            tokio::select! {
                biased;
                () = moved => tracing::info!("the worker's addresses have changed"),
                error = self.registration(turn) => return error,
            }
        }
    }

    async fn registration(&mut self, turn: usize) -> Error {
        let registered = async {
            let mut session = Session::open(self.cluster, turn).await?;
            let (rank, lease) = self.register(&mut session).await?;
            Ok((session, rank, lease))
        };
        let (mut session, rank, lease) = match registered.await {
            Ok(registered) => registered,
            Err(error) => return error,
        };
        self.was_registered = true;
        self.in_use_since = None;
        self.pauses = pauses(self.cluster.ttl);
        self.desk.set(AnnounceStatus::Registered { rank });
        match self.hold(&mut session, rank, lease).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn register(&mut self, session: &mut Session<'_>) -> Result<(Rank, i64), Error> {
        let lease = self.live_lease(session).await?;
        let record = self.desk.record.borrow_and_update().clone();
        let claim = Claim {
            cluster: self.cluster,
            record: &record,
            wish: self.wish,
            last: self.state.rank(),
            lease,
            own: self.state.leases(),
        };
        let rank = claim.make(session).await?;
        self.state.remember_rank(rank).await;
        // The keys are under the new lease now, so nothing of ours goes with the old ones.
        let old: Vec<i64> = self.state.leases().iter().copied().filter(|l| *l != lease).collect();
        for old in old {
            session.revoke(old).await?;
            self.state.forget_lease(old).await;
        }
        Ok((rank, lease))
    }

    /// This run's lease if it lives, else a new one, remembered before it is used.
    async fn live_lease(&mut self, session: &mut Session<'_>) -> Result<i64, Error> {
        if let Some(lease) = self.lease {
            if session.renew(lease).await? {
                return Ok(lease);
            }
            self.lease = None;
        }
        let lease = session.grant().await?;
        self.state.remember_lease(lease).await;
        self.lease = Some(lease);
        Ok(lease)
    }

    /// Renews the lease each third of its time, and writes each change of the record.
    async fn hold(
        &mut self,
        session: &mut Session<'_>,
        rank: Rank,
        lease: i64,
    ) -> Result<std::convert::Infallible, Error> {
        let worker_id = self.desk.record.borrow().worker_id.clone();
        let mut renewal = tokio::time::interval(self.cluster.ttl / 3);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = renewal.tick() => {
                    if !session.renew(lease).await? {
                        return Err(self.cluster.lost());
                    }
                    // Keys can go without their lease, by an `etcdctl del`.
                    let held = still_held(self.cluster, &worker_id, rank, lease);
                    if !session.transact(held).await?.succeeded() {
                        return Err(self.cluster.lost());
                    }
                }
                changed = self.desk.record.changed() => {
                    if changed.is_err() {
                        // The owner is gone, and this task with it.
                        std::future::pending::<()>().await;
                    }
                    let record = self.desk.record.borrow_and_update().clone();
                    let json = encode(&WorkerRecord { rank, ..record })?;
                    session.put(self.cluster.worker(&worker_id), json, lease).await?;
                }
            }
        }
    }

    /// Whether the error is final. A worker that died elsewhere, or on another disk, is
    /// given the time to expire.
    fn is_final(&mut self, error: &Error) -> bool {
        if self.was_registered || !error.is_conflict() {
            return false;
        }
        if !matches!(error, Error::WorkerIdInUse { .. }) {
            return true;
        }
        let since = *self.in_use_since.get_or_insert_with(Instant::now);
        since.elapsed() > self.cluster.ttl + Duration::from_secs(1)
    }

    /// Revokes the lease, and the keys with it, trying a few members once each; whatever is left
    /// expires.
    async fn give_back(&mut self, turn: usize) {
        let Some(lease) = self.lease.take() else { return };
        for turn in turn..turn + self.cluster.endpoints.len().min(3) {
            let revoked = async { Session::open(self.cluster, turn).await?.revoke(lease).await };
            match revoked.await {
                Ok(()) => return self.state.forget_lease(lease).await,
                Err(error) => tracing::warn!(%error, "the lease could not be revoked"),
            }
        }
    }
}

/// Waits until the record names other addresses than these.
async fn moved(mut record: watch::Receiver<WorkerRecord>, addresses: Vec<SocketAddr>) {
    if record.wait_for(|record| record.endpoints != addresses).await.is_err() {
        std::future::pending::<()>().await;
    }
}
