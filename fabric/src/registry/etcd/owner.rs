//! Owners in etcd: the key `/hearth/v1/<group>/owners/<name>` under a lease.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::OwnerId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::session::{Session, pauses};
use crate::registry::owner::{Holder, tell};
use crate::registry::{Error, OwnerState};

/// Between two looks of a worker: there may be thousands of them.
const PERIOD: Duration = Duration::from_secs(2);

/// Holds an owner's name until it is withdrawn.
pub(super) async fn keep(cluster: Arc<Cluster>, holder: Holder) {
    let mut pause = pauses(cluster.ttl);
    let (mut turn, mut lease) = (0, None);
    loop {
        let error = tokio::select! {
            biased;
            () = holder.withdraw.cancelled() => break,
            error = hold(&cluster, &holder, turn, &mut lease) => error,
        };
        if holder.held.send_replace(false) {
            tracing::warn!(%error, "the owner's name is no longer held: trying again");
            pause = pauses(cluster.ttl);
        }
        turn += 1;
        tokio::select! {
            biased;
            () = holder.withdraw.cancelled() => break,
            () = tokio::time::sleep(pause.next().unwrap_or(PERIOD)) => {}
        }
    }
    if let Some(lease) = lease {
        let revoked = async { Session::open(&cluster, turn).await?.revoke(lease).await };
        if let Err(error) = revoked.await {
            tracing::warn!(%error, "the owner's lease could not be revoked: it will expire");
        }
    }
}

/// Holds the name with one member of the cluster until something fails.
async fn hold(cluster: &Cluster, holder: &Holder, turn: usize, lease: &mut Option<i64>) -> Error {
    let failed: Result<std::convert::Infallible, Error> = async {
        let mut session = Session::open(cluster, turn).await?;
        loop {
            let lives = match *lease {
                Some(lease) => session.renew(lease).await?.then_some(lease),
                None => None,
            };
            let id = match lives {
                Some(lease) => lease,
                None => *lease.insert(session.grant().await?),
            };
            // Put again each time: a key can go without its lease, by an `etcdctl del`.
            session.put(cluster.owner(&holder.owner), b"held".to_vec(), id).await?;
            holder.held.send_replace(true);
            tokio::time::sleep(cluster.ttl / 3).await;
        }
    }
    .await;
    match failed {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Asks for an owner's key now and then until it is cancelled.
pub(super) async fn follow(
    cluster: Arc<Cluster>,
    owner: OwnerId,
    state: watch::Sender<OwnerState>,
    cancel: CancellationToken,
) {
    let mut turn = 0;
    let mut pause = pauses(cluster.ttl);
    loop {
        let error = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            error = ask(&cluster, &owner, turn, &state) => error,
        };
        tracing::debug!(%error, "it is unknown whether the owner's name is held");
        tell(&state, OwnerState::Unknown);
        turn += 1;
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause.next().unwrap_or(PERIOD)) => {}
        }
    }
}

/// Asks one member until something fails.
async fn ask(
    cluster: &Cluster,
    owner: &OwnerId,
    turn: usize,
    state: &watch::Sender<OwnerState>,
) -> Error {
    let mut session = match Session::open(cluster, turn).await {
        Ok(session) => session,
        Err(error) => return error,
    };
    loop {
        match session.get(cluster.owner(owner)).await {
            Ok(Some(_)) => tell(state, OwnerState::Held),
            Ok(None) => tell(state, OwnerState::Free),
            Err(error) => return error,
        }
        tokio::time::sleep(PERIOD).await;
    }
}
