//! What each event does to the view, one rule a test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::{Group, Incarnation, Rank, WorkerId};
use hearth_protocol::message::Load;
use hearth_protocol::record::{Capacity, ModelRecord, WorkerRecord, WorkerState};
use hearth_protocol::version::ProtocolRange;

use super::*;

fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn key(name: &str) -> Key {
    Key::Worker(id(name))
}

fn run(number: u128) -> Incarnation {
    Incarnation::from_bits(number)
}

fn model() -> ModelRecord {
    ModelRecord { name: "emoji".to_owned(), aliases: Vec::new(), digest: "sha256:0".to_owned() }
}

fn record(name: &str, rank: u32, incarnation: u128, state: WorkerState) -> Arc<WorkerRecord> {
    Arc::new(WorkerRecord {
        worker_id: id(name),
        group: Group::default(),
        rank: Rank(rank),
        incarnation: run(incarnation),
        endpoints: vec![address(7420)],
        device: "cpu".to_owned(),
        models: vec![model()],
        capacity: Capacity { slots: 1, queue: 16, batch: 1 },
        state,
        percent: None,
        protocol: ProtocolRange::OURS,
        certificate: "ab".to_owned(),
        started_at: 1,
        version: "0.1.0".to_owned(),
        suspects: Vec::new(),
    })
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn hello(name: &str, incarnation: u128) -> Introduction {
    Introduction {
        worker: id(name),
        rank: None,
        incarnation: run(incarnation),
        agent: "hearth-worker/0.1.0".to_owned(),
        load: None,
        at: Instant::now(),
        certificate: None,
    }
}

fn said(state: WorkerState) -> Description {
    Description {
        rank: Some(Rank(3)),
        state,
        models: vec![model()],
        capacity: Capacity { slots: 2, queue: 4, batch: 1 },
        started_at: 9,
        suspects: Vec::new(),
    }
}

fn list(fleet: &mut Fleet, records: &[Arc<WorkerRecord>]) {
    listed(fleet, records, &[], None);
}

fn listed(
    fleet: &mut Fleet,
    records: &[Arc<WorkerRecord>],
    endpoints: &[SocketAddr],
    stale_since: Option<Instant>,
) {
    let workers: BTreeMap<_, _> =
        records.iter().map(|record| (record.worker_id.clone(), Arc::clone(record))).collect();
    let error = stale_since.map(|_| "no answer");
    let unreachable = error.is_some();
    fleet.listed(Listing {
        workers: &workers,
        endpoints,
        synced: true,
        stale_since,
        error,
        unreachable,
    });
}

fn fleet() -> Fleet {
    Fleet::new("dir:/run".to_owned(), None)
}

/// A fleet of one worker, which is connected.
pub(crate) fn connected(name: &str, incarnation: u128) -> FleetView {
    let mut fleet = fleet();
    list(&mut fleet, &[record(name, 0, incarnation, WorkerState::Ready)]);
    fleet.connected(&key(name), hello(name, incarnation), None).unwrap();
    fleet.view()
}

fn status(fleet: &Fleet, name: &str) -> Option<WorkerStatus> {
    fleet.view().worker(&id(name)).map(|worker| worker.status.clone())
}

#[test]
fn a_worker_is_ready_when_it_is_connected_and_its_record_says_so() {
    let mut fleet = fleet();
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Loading)]);
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Connecting { error: None }));
    fleet.connected(&key("w"), hello("w", 1), None).unwrap();
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Loading));
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Ready)]);
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Ready));
    assert_eq!(fleet.view().ready().count(), 1);
}

#[test]
fn what_a_worker_has_to_do_is_learnt_with_its_connection_and_forgotten_in_time() {
    let mut fleet = fleet();
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Ready)]);
    let at = Instant::now();
    let backlog = |fleet: &Fleet, after: u64| {
        let view = fleet.view();
        view.worker(&id("w")).unwrap().backlog.get(at + Duration::from_secs(after))
    };
    assert_eq!(backlog(&fleet, 0), None);
    let load = Some(Load { running: 1, queued: 3, item_ms: None });
    fleet.connected(&key("w"), Introduction { load, at, ..hello("w", 1) }, None).unwrap();
    assert_eq!((backlog(&fleet, 0), backlog(&fleet, 4)), (Some(4), Some(4)));
    assert_eq!(backlog(&fleet, 5), None);
    fleet.view().worker(&id("w")).unwrap().backlog.note(6, 2, at + Duration::from_secs(5));
    assert_eq!(backlog(&fleet, 5), Some(4), "its own items are no backlog");
}

#[test]
fn workers_stand_in_the_order_of_their_ranks() {
    let mut fleet = fleet();
    let records = [("a", 2), ("b", 0), ("c", 1)];
    let records = records.map(|(name, rank)| record(name, rank, 1, WorkerState::Ready));
    list(&mut fleet, &records);
    let names: Vec<_> = fleet.view().workers.iter().map(|w| w.id.to_string()).collect();
    assert_eq!(names, ["b", "c", "a"]);
}

#[test]
fn a_connected_worker_outlives_its_record() {
    let mut fleet = fleet();
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Ready)]);
    fleet.connected(&key("w"), hello("w", 1), None).unwrap();
    list(&mut fleet, &[]);
    let view = fleet.view();
    assert_eq!(view.workers[0].status, WorkerStatus::Ready);
    assert!(!view.workers[0].in_registry);
    let (_, wanted) = fleet.targets().next().unwrap();
    assert!(!wanted.listed && wanted.stale);

    fleet.described(&key("w"), said(WorkerState::Draining));
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Draining));
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Ready)]);
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Ready), "a record that is back knows best");

    list(&mut fleet, &[]);
    fleet.lost(&key("w"), "silent".to_owned());
    assert_eq!(status(&fleet, "w"), None);
    assert_eq!(fleet.targets().count(), 0);
}

#[test]
fn a_lost_worker_stays_while_it_is_listed() {
    let mut fleet = fleet();
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Ready)]);
    fleet.connected(&key("w"), hello("w", 1), None).unwrap();
    fleet.lost(&key("w"), "silent".to_owned());
    fleet.failed(&key("w"), "no answer".to_owned());
    let reason = "no answer".to_owned();
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Lost { reason }));
    list(&mut fleet, &[]);
    assert_eq!(status(&fleet, "w"), None);
}

#[test]
fn a_stale_registry_keeps_the_view_and_the_workers_own_word_counts() {
    let mut fleet = fleet();
    let records = [record("w", 0, 1, WorkerState::Ready)];
    list(&mut fleet, &records);
    fleet.connected(&key("w"), hello("w", 1), None).unwrap();
    let since = Instant::now();
    listed(&mut fleet, &records, &[], Some(since));
    assert_eq!(fleet.view().stale_since, Some(since));
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Ready));
    fleet.described(&key("w"), said(WorkerState::Draining));
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Draining));
}

#[test]
fn the_record_of_an_earlier_run_says_nothing_about_this_one() {
    let mut fleet = fleet();
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Ready)]);
    fleet.connected(&key("w"), hello("w", 2), Some(said(WorkerState::Loading))).unwrap();
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Loading));
    assert_eq!(fleet.view().workers[0].incarnation, Some(run(2)));
    list(&mut fleet, &[record("w", 0, 2, WorkerState::Ready)]);
    assert_eq!(status(&fleet, "w"), Some(WorkerStatus::Ready));
}

#[test]
fn an_endpoint_becomes_the_worker_that_answers_there() {
    let mut fleet = fleet();
    listed(&mut fleet, &[], &[address(1), address(2)], None);
    assert_eq!(fleet.view().endpoints.len(), 2);
    let (one, two) = (Key::Endpoint(address(1)), Key::Endpoint(address(2)));
    fleet.connected(&one, hello("w", 1), Some(said(WorkerState::Ready))).unwrap();
    let view = fleet.view();
    assert_eq!((view.workers.len(), view.endpoints.len()), (1, 1));
    let worker = &view.workers[0];
    assert_eq!(worker.status, WorkerStatus::Ready);
    assert_eq!(worker.rank, Some(Rank(3)));
    assert_eq!(worker.version.as_deref(), Some("0.1.0"));
    assert_eq!(worker.capacity, Some(Capacity { slots: 2, queue: 4, batch: 1 }));
    assert!(!worker.in_registry);

    let twin = fleet.connected(&two, hello("w", 1), None).unwrap_err();
    assert!(twin.contains("another address"), "{twin}");
    fleet.lost(&one, "silent".to_owned());
    fleet.connected(&two, hello("w", 1), Some(said(WorkerState::Ready))).unwrap();
    let view = fleet.view();
    assert_eq!(view.workers.len(), 1);
    assert_eq!(view.workers[0].status, WorkerStatus::Ready);
}

#[test]
fn who_answers_in_anothers_place_is_refused() {
    let mut fleet = fleet();
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Ready)]);
    let refused = fleet.connected(&key("w"), hello("x", 1), None).unwrap_err();
    assert!(refused.contains('x'), "{refused}");
    assert!(matches!(status(&fleet, "w"), Some(WorkerStatus::Connecting { .. })));
}

#[test]
fn only_those_asked_for_count() {
    let mut fleet = Fleet::new("dir:/run".to_owned(), Some(vec![id("a")]));
    let records = ["a", "b"].map(|name| record(name, 0, 1, WorkerState::Ready));
    listed(&mut fleet, &records, &[address(1)], None);
    assert_eq!(fleet.targets().count(), 2);
    assert!(fleet.connected(&Key::Endpoint(address(1)), hello("b", 1), None).is_err());
}

#[test]
fn no_worker_says_what_is_known() {
    let mut fleet = fleet();
    assert!(no_worker(&fleet.view(), "x").message.contains("has not answered yet"));
    list(&mut fleet, &[]);
    assert!(no_worker(&fleet.view(), "x").message.contains("hearth up"));
    list(&mut fleet, &[record("w", 0, 1, WorkerState::Ready)]);
    fleet.failed(&key("w"), "no connection to 127.0.0.1:7420".to_owned());
    let message = no_worker(&fleet.view(), "0 of 1 workers are ready").message;
    assert_eq!(
        message,
        "0 of 1 workers are ready; dir:/run lists 1: w is connecting \
         (no connection to 127.0.0.1:7420)"
    );
    for (state, remedy) in
        [(WorkerState::Sleeping, "hearth wake"), (WorkerState::Draining, "hearth resume")]
    {
        list(&mut fleet, &[record("w", 0, 1, state)]);
        fleet.connected(&key("w"), hello("w", 1), None).unwrap();
        fleet.described(&key("w"), said(state));
        assert!(no_worker(&fleet.view(), "x").message.contains(remedy), "{state}");
    }
}
