//! Workers for registry tests: records, state folders and waiting for what should come.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test program uses a part of it, and may fail anywhere"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::{Group, Incarnation, Rank, WorkerId};
use hearth_fabric::registry::{AnnounceStatus, Announcement, Observation, View};
use hearth_protocol::record::{Capacity, WorkerRecord, WorkerState};
use hearth_protocol::version::ProtocolRange;

/// More than any wait should take on a busy machine; what is measured is asserted apart.
pub const SOON: Duration = Duration::from_secs(15);

pub fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

/// A record whose incarnation is `run`.
pub fn record(name: &str, run: u128) -> WorkerRecord {
    WorkerRecord {
        worker_id: id(name),
        group: Group::default(),
        rank: Rank(0),
        incarnation: Incarnation::from_bits(run),
        endpoints: vec!["127.0.0.1:7420".parse().unwrap()],
        device: "cpu".to_owned(),
        models: Vec::new(),
        capacity: Capacity { slots: 1, queue: 16, batch: 1 },
        state: WorkerState::Loading,
        percent: None,
        protocol: ProtocolRange::OURS,
        certificate: "00".repeat(32),
        started_at: 1,
        version: "0.1.0".to_owned(),
        suspects: Vec::new(),
    }
}

/// Waits until the view is as wanted, and tells how long that took.
pub async fn view_where(
    observation: &Observation,
    what: &str,
    wanted: impl Fn(&View) -> bool,
) -> (Arc<View>, Duration) {
    let start = Instant::now();
    let mut view = observation.view();
    let found = tokio::time::timeout(SOON, view.wait_for(|view| wanted(view))).await;
    match found {
        Ok(found) => (Arc::clone(&found.unwrap()), start.elapsed()),
        Err(_) => panic!("not seen: {what}; the view is {:#?}", observation.view().borrow()),
    }
}

/// Waits until exactly these workers are seen with these ranks.
pub async fn sees(observation: &Observation, workers: &[(&str, u32)]) -> (Arc<View>, Duration) {
    let same = |view: &View| {
        let seen: Vec<_> = view.workers.iter().map(|(id, r)| (id.as_str(), r.rank.0)).collect();
        view.synced && seen == workers
    };
    view_where(observation, &format!("{workers:?}"), same).await
}

/// Waits until the announcement's status is as wanted.
pub async fn status_where(
    announcement: &Announcement,
    what: &str,
    wanted: impl Fn(&AnnounceStatus) -> bool,
) -> (AnnounceStatus, Duration) {
    let start = Instant::now();
    let mut status = announcement.status();
    let found = tokio::time::timeout(SOON, status.wait_for(|status| wanted(status))).await;
    match found {
        Ok(found) => (found.unwrap().clone(), start.elapsed()),
        Err(_) => panic!("not seen: {what}; the status is {:?}", announcement.status().borrow()),
    }
}

pub fn is_registered(status: &AnnounceStatus) -> bool {
    matches!(status, AnnounceStatus::Registered { .. })
}

pub async fn rank_of(announcement: &Announcement) -> u32 {
    match tokio::time::timeout(SOON, announcement.registered()).await {
        Ok(rank) => rank.expect("not refused").0,
        Err(_) => panic!("not registered: {:?}", announcement.status().borrow()),
    }
}

/// The folder that stands for one machine's disk.
pub fn disk(root: &Path, name: &str) -> std::path::PathBuf {
    root.join(name)
}
