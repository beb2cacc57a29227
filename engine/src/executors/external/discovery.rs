//! Follows the registry: one supervised connection per worker that it lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use hearth_base::task::OwnedTask;
use hearth_fabric::quic::Connector;
use hearth_fabric::registry::{Observation, View};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::supervise::supervise;
use crate::fleet::{Key, Listing, Target};

/// A worker's task, and what it is told.
struct Member {
    wanted: watch::Sender<Target>,
    task: OwnedTask,
}

/// Follows the registry until `cancel`, then ends every connection.
pub(super) async fn follow(
    observation: Observation,
    connector: Connector,
    shared: Arc<Shared>,
    cancel: CancellationToken,
) {
    let mut view = observation.view();
    let mut members = BTreeMap::new();
    loop {
        let seen = Arc::clone(&view.borrow_and_update());
        list(&shared, &seen);
        reconcile(&mut members, &connector, &shared);
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            () = changed(&mut view) => {}
            () = shared.lost.notified() => {}
        }
    }
    join_all(members.into_values().map(|member| member.task.stop())).await;
}

fn list(shared: &Shared, view: &View) {
    let error = view.error.as_ref().map(ToString::to_string);
    shared.update(|fleet| {
        fleet.listed(Listing {
            workers: &view.workers,
            endpoints: &view.endpoints,
            synced: view.synced,
            stale_since: view.stale_since,
            error: error.as_deref(),
            unreachable: view.error.as_ref().is_some_and(|error| error.is_passing()),
        });
    });
}

/// Starts, tells and ends the workers' tasks so that they are those that the fleet wants.
fn reconcile(members: &mut BTreeMap<Key, Member>, connector: &Connector, shared: &Arc<Shared>) {
    let wanted: BTreeMap<Key, Target> =
        shared.read(|fleet| fleet.targets().map(|(key, wanted)| (key.clone(), wanted)).collect());
    // A worker that has left has no connection any more, so that its task has nothing to finish.
    members.retain(|key, _| wanted.contains_key(key));
    for (key, wanted) in wanted {
        if let Some(member) = members.get(&key) {
            member.wanted.send_if_modified(|known| {
                let differs = *known != wanted;
                *known = wanted;
                differs
            });
            continue;
        }
        let (sender, receiver) = watch::channel(wanted);
        let task = OwnedTask::spawn("worker connection", |cancel| {
            let (connector, shared) = (connector.clone(), Arc::clone(shared));
            supervise(key.clone(), receiver, connector, shared, cancel)
        });
        members.insert(key, Member { wanted: sender, task });
    }
}

async fn changed(view: &mut watch::Receiver<Arc<View>>) {
    if view.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
