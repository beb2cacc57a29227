//! Follows the workers of a group in etcd: list, then watch from the revision after it.
//!
//! A watch that breaks, or whose history was compacted, is followed by another list. While etcd is
//! away the last view stays, marked stale; a member that is frozen or cut off from its cluster is
//! noticed because it is asked something now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, KeyValue, WatchOptions, WatchResponse};
use hearth_api::WorkerId;
use hearth_protocol::record::WorkerRecord;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::session::{Session, failure, pauses};
use crate::registry::record::decode;
use crate::registry::view::{Change, Publisher, put};
use crate::registry::{Error, MAX_WORKERS};

/// Between two questions. With the time limit of a call, a fault shows within five seconds.
const PROBE: Duration = Duration::from_secs(2);

/// Why a watch ended.
enum WatchEnd {
    /// The history that it needs was compacted away.
    Compacted,
    /// The server does not answer any more.
    Failed(Error),
}

/// Publishes the group's workers until it is cancelled.
pub(super) async fn follow(cluster: Arc<Cluster>, publisher: Publisher, cancel: CancellationToken) {
    let mut pause = pauses(cluster.ttl);
    let mut turn = 0;
    loop {
        let start = Instant::now();
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            ended = session(&cluster, &publisher, turn) => ended,
        };
        match ended {
            WatchEnd::Compacted => tracing::debug!("history was compacted: listing again"),
            WatchEnd::Failed(error) => {
                turn += 1;
                tracing::debug!(%error, "following the registry failed");
                publisher.stale(error);
            }
        }
        if start.elapsed() > PROBE + PROBE {
            pause = pauses(cluster.ttl);
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause.next().unwrap_or(PROBE)) => {}
        }
    }
}

/// One list and the watch after it.
async fn session(cluster: &Cluster, publisher: &Publisher, turn: usize) -> WatchEnd {
    let listed = async {
        let mut session = Session::open(cluster, turn).await?;
        let listing = session.list(&cluster.workers(), MAX_WORKERS).await?;
        Ok((session, listing))
    };
    let (mut session, listing) = match listed.await {
        Ok(listed) => listed,
        Err(error) => return WatchEnd::Failed(error),
    };
    let mut workers = BTreeMap::new();
    for record in listing.pairs.iter().filter_map(|pair| record(cluster, pair)) {
        put(&mut workers, record);
    }
    publisher.replace(workers);
    watch(cluster, &mut session, publisher, listing.revision + 1).await
}

/// Publishes what changes from `revision` on.
async fn watch(
    cluster: &Cluster,
    session: &mut Session<'_>,
    publisher: &Publisher,
    revision: i64,
) -> WatchEnd {
    let mut watcher = session.watcher();
    let options = WatchOptions::new().with_prefix().with_start_revision(revision);
    let opened = session.answer(watcher.watch(cluster.workers(), Some(options))).await;
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => return WatchEnd::Failed(error),
    };
    let mut probe = tokio::time::interval_at(Instant::now() + PROBE, PROBE);
    probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            message = stream.message() => match message {
                Ok(Some(response)) if response.canceled() => return cancelled(cluster, &response),
                Ok(Some(response)) => publish(cluster, publisher, &response),
                Ok(None) => return WatchEnd::Failed(closed(cluster, "the watch was closed")),
                Err(error) => return WatchEnd::Failed(failure(cluster, &error)),
            },
            _ = probe.tick() => {
                if let Err(error) = session.probe().await {
                    return WatchEnd::Failed(error);
                }
            }
        }
    }
}

fn cancelled(cluster: &Cluster, response: &WatchResponse) -> WatchEnd {
    if response.compact_revision() > 0 {
        return WatchEnd::Compacted;
    }
    WatchEnd::Failed(closed(cluster, response.cancel_reason()))
}

fn closed(cluster: &Cluster, reason: &str) -> Error {
    let reason = if reason.is_empty() { "the watch was cancelled" } else { reason };
    let (target, reason) = (cluster.target.clone(), reason.to_owned());
    // etcd ends a watch with the reason for the refusal.
    if reason.contains("permission denied") || reason.contains("auth") {
        return Error::Auth { target, reason };
    }
    Error::Unreachable { target, reason }
}

fn publish(cluster: &Cluster, publisher: &Publisher, response: &WatchResponse) {
    let changes: Vec<Change> = response
        .events()
        .iter()
        .filter_map(|event| {
            let pair = event.kv()?;
            match event.event_type() {
                // A record that can't be read counts as no worker, whatever was there before.
                EventType::Put => record(cluster, pair)
                    .map(|record| Change::Put(Box::new(record)))
                    .or_else(|| gone(cluster, pair)),
                EventType::Delete => gone(cluster, pair),
            }
        })
        .collect();
    if !changes.is_empty() {
        publisher.change(changes);
    }
}

fn gone(cluster: &Cluster, pair: &KeyValue) -> Option<Change> {
    WorkerId::new(name(cluster, pair)?).ok().map(Change::Gone)
}

/// The record in a pair; one that can't be used is skipped with a warning.
fn record(cluster: &Cluster, pair: &KeyValue) -> Option<WorkerRecord> {
    let read = name(cluster, pair).ok_or_else(|| "its key is no worker's".to_owned());
    let read = read.and_then(|id| decode(id, pair.value())).and_then(|record| {
        match record.group == cluster.group {
            true => Ok(record),
            false => Err(format!("it says group {}", record.group)),
        }
    });
    let key = || String::from_utf8_lossy(pair.key()).into_owned();
    read.inspect_err(|reason| tracing::warn!(key = key(), reason, "a record is skipped")).ok()
}

fn name<'a>(cluster: &Cluster, pair: &'a KeyValue) -> Option<&'a str> {
    pair.key_str().ok()?.strip_prefix(&cluster.workers())
}

#[cfg(test)]
mod tests {
    use hearth_api::Group;

    use super::super::{Etcd, test_server};
    use super::*;
    use crate::registry::{Observation, Settings};

    /// A watch that starts before a compaction is not followed blindly.
    #[tokio::test]
    async fn a_compacted_history_ends_the_watch() {
        let server = test_server::Etcd::start();
        let mut client = server.client(None).await;
        for n in 0..5 {
            client.put("/hearth/v1/default/workers/x", n.to_string(), None).await.unwrap();
        }
        let last = client.put("/elsewhere", "", None).await.unwrap();
        let revision = last.header().unwrap().revision();
        client.compact(revision, None).await.unwrap();

        let endpoints = [server.endpoint()];
        let settings = Settings::default();
        let etcd =
            Etcd::open(server.url(), false, &endpoints, Group::default(), &settings).unwrap();
        let (ended, report) = tokio::sync::oneshot::channel();
        let _observation = Observation::spawn(|publisher, _| async move {
            let mut session = Session::open(&etcd.0, 0).await.unwrap();
            let _ = ended.send(watch(&etcd.0, &mut session, &publisher, 2).await);
        });
        assert!(matches!(report.await.unwrap(), WatchEnd::Compacted));
    }
}
