//! One suite over the three registries, against real parts: a real etcd, real files.
//!
//! What only etcd can suffer (restarts, freezes, passwords, TLS) is in `registry_etcd.rs`.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/etcd.rs"]
mod etcd_server;
#[path = "support/worker.rs"]
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::{OwnerId, Rank};
use hearth_fabric::registry::{
    Announcement, Error, OwnerState, RankWish, Registry, RegistryUrl, Settings, open,
};
use hearth_protocol::record::{ModelRecord, WorkerState};
use tempfile::TempDir;
use worker::{id, rank_of, record, sees, status_where, view_where};

const TTL: Duration = Duration::from_secs(3);

/// A registry of some kind, with what it needs.
struct Place {
    registry: Arc<dyn Registry>,
    /// `dir` and `static`: none. Dropped with the place.
    _server: Option<etcd_server::Etcd>,
    folder: TempDir,
    /// Whether a record is known without asking the worker (not in a `static` list).
    keeps_records: bool,
    /// How long a crashed worker may stay in the view.
    expiry: Duration,
}

impl Place {
    fn etcd() -> Self {
        let server = etcd_server::Etcd::start();
        let url = server.url();
        Self { _server: Some(server), expiry: TTL + Duration::from_secs(1), ..Self::at(&url) }
    }

    fn dir() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("dir:{}", folder.path().join("run").display());
        Self { folder, ..Self::at(&url) }
    }

    fn static_list() -> Self {
        Self { keeps_records: false, ..Self::at("static:127.0.0.1:7420,localhost:7421") }
    }

    fn at(url: &str) -> Self {
        let settings = Settings { ttl: TTL, ..Settings::default() };
        Self {
            registry: open(&RegistryUrl::parse(url).unwrap(), &settings).unwrap(),
            _server: None,
            folder: TempDir::new().unwrap(),
            keeps_records: true,
            expiry: Duration::from_secs(1),
        }
    }

    /// Announces a worker whose disk is its own and outlives it.
    fn announce(&self, name: &str, run: u128, wish: RankWish) -> Announcement {
        let state = worker::disk(self.folder.path(), "state");
        self.registry.announce(record(name, run), wish, &state).unwrap()
    }
}

const AUTO: RankWish = RankWish::Auto;

fn fixed(rank: u32) -> RankWish {
    RankWish::Fixed(Rank(rank))
}

async fn an_announced_worker_is_seen_until_it_withdraws(place: Place) {
    let announcement = place.announce("w", 7, fixed(3));
    assert_eq!(rank_of(&announcement).await, 3);
    let observation = place.registry.observe().unwrap();
    if place.keeps_records {
        let (view, _) = sees(&observation, &[("w", 3)]).await;
        let seen = &view.workers[&id("w")];
        assert_eq!(seen.incarnation, record("w", 7).incarnation);
        assert!(view.stale_since.is_none() && view.error.is_none());
    } else {
        let (view, _) = view_where(&observation, "two addresses", |v| v.endpoints.len() == 2).await;
        assert!(view.synced && view.workers.is_empty());
    }
    let start = Instant::now();
    announcement.withdraw().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    if place.keeps_records {
        sees(&observation, &[]).await;
    }
}

async fn a_changed_record_is_seen(place: Place) {
    let observation = place.registry.observe().unwrap();
    let announcement = place.announce("w", 1, fixed(1));
    rank_of(&announcement).await;
    let model = ModelRecord {
        name: "emoji".to_owned(),
        aliases: Vec::new(),
        digest: "sha256:0".to_owned(),
    };
    announcement
        .update(|record| {
            record.state = WorkerState::Ready;
            record.models.push(model.clone());
            record.rank = Rank(99);
        })
        .unwrap();
    if place.keeps_records {
        let ready = |v: &hearth_fabric::registry::View| {
            v.workers.get(&id("w")).is_some_and(|r| r.state == WorkerState::Ready)
        };
        let (view, took) = view_where(&observation, "ready", ready).await;
        assert_eq!(view.workers[&id("w")].models, [model]);
        assert_eq!(view.workers[&id("w")].rank, Rank(1), "the claimed rank stays");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let long = "x".repeat(70_000);
    let refused = announcement.update(|record| record.device = long.clone());
    assert!(matches!(refused, Err(Error::RecordTooLarge { bytes }) if bytes > 70_000));
    let mut record = record("other", 1);
    record.device = long;
    let refused = place.registry.announce(record, AUTO, place.folder.path());
    assert!(matches!(refused, Err(Error::RecordTooLarge { .. })));
}

async fn auto_takes_the_lowest_free_rank(place: Place) {
    let observation = place.registry.observe().unwrap();
    let a = place.announce("a", 1, AUTO);
    assert_eq!(rank_of(&a).await, 0);
    let c = place.announce("c", 1, fixed(2));
    assert_eq!(rank_of(&c).await, 2);
    let b = place.announce("b", 1, AUTO);
    assert_eq!(rank_of(&b).await, 1);
    sees(&observation, &[("a", 0), ("b", 1), ("c", 2)]).await;
    a.withdraw().await;
    sees(&observation, &[("b", 1), ("c", 2)]).await;
    let d = place.announce("d", 1, AUTO);
    assert_eq!(rank_of(&d).await, 0);
    sees(&observation, &[("b", 1), ("c", 2), ("d", 0)]).await;
}

async fn a_rank_that_is_held_is_refused(place: Place) {
    let first = place.announce("first", 1, fixed(5));
    rank_of(&first).await;
    let second = place.announce("second", 1, fixed(5));
    let refusal = second.registered().await.unwrap_err();
    match &*refusal {
        Error::DuplicateRank { rank, holder, .. } => {
            assert_eq!((rank.0, holder.as_str()), (5, "first"));
        }
        other => panic!("{other}"),
    }
    assert!(refusal.to_string().contains("rank 5 is held by worker first"), "{refusal}");
    // The loser leaves nothing behind, and the winner is untouched.
    let observation = place.registry.observe().unwrap();
    sees(&observation, &[("first", 5)]).await;
    assert_eq!(rank_of(&first).await, 5);
}

async fn a_crashed_worker_takes_its_own_rank_back_at_once(place: Place) {
    let observation = place.registry.observe().unwrap();
    let a = place.announce("a", 1, AUTO);
    assert_eq!(rank_of(&a).await, 0);
    let b = place.announce("b", 1, AUTO);
    assert_eq!(rank_of(&b).await, 1);
    sees(&observation, &[("a", 0), ("b", 1)]).await;

    drop((a, b));
    let start = Instant::now();
    let b = place.announce("b", 2, AUTO);
    assert_eq!(rank_of(&b).await, 1, "not the lowest free one, its own");
    let took = start.elapsed();
    assert!(took < TTL / 2, "{took:?}");
    let second_run = |v: &hearth_fabric::registry::View| {
        v.workers.get(&id("b")).is_some_and(|r| r.incarnation == record("b", 2).incarnation)
    };
    view_where(&observation, "the second run", second_run).await;

    // The first one is gone when its lease or its lock is, the second one's old lease takes
    // nothing with it.
    let (_, took) = sees(&observation, &[("b", 1)]).await;
    assert!(took <= place.expiry, "{took:?}");
    tokio::time::sleep(place.expiry).await;
    sees(&observation, &[("b", 1)]).await;

    // The same with a fixed rank, and after an orderly end.
    b.withdraw().await;
    let b = place.announce("b", 3, AUTO);
    assert_eq!(rank_of(&b).await, 1, "remembered");
    drop(b);
    let b = place.announce("b", 4, fixed(1));
    assert_eq!(rank_of(&b).await, 1);
}

async fn an_id_that_is_in_use_is_refused(place: Place) {
    let first = place.announce("w", 1, AUTO);
    rank_of(&first).await;
    let same_disk = place.announce("w", 2, AUTO);
    let other_disk = worker::disk(place.folder.path(), "other machine");
    let other_disk = place.registry.announce(record("w", 3), AUTO, &other_disk).unwrap();

    let refusal = same_disk.registered().await.unwrap_err();
    assert!(matches!(*refusal, Error::StateInUse { .. }), "{refusal}");
    let start = Instant::now();
    let refusal = other_disk.registered().await.unwrap_err();
    assert!(matches!(*refusal, Error::WorkerIdInUse { .. }), "{refusal}");
    assert!(start.elapsed() < TTL + Duration::from_secs(4), "{:?}", start.elapsed());

    let observation = place.registry.observe().unwrap();
    let (view, _) = sees(&observation, &[("w", 0)]).await;
    assert_eq!(view.workers[&id("w")].incarnation, record("w", 1).incarnation);
    assert_eq!(rank_of(&first).await, 0);
}

/// A machine whose disk was lost is let in when the old lease is gone.
async fn a_dead_worker_s_id_is_free_after_its_time(place: Place) {
    let first = place.announce("w", 1, fixed(4));
    rank_of(&first).await;
    drop(first);
    let new_disk = worker::disk(place.folder.path(), "new disk");
    let start = Instant::now();
    let second = place.registry.announce(record("w", 2), fixed(4), &new_disk).unwrap();
    assert_eq!(rank_of(&second).await, 4);
    assert!(start.elapsed() < place.expiry + Duration::from_secs(1), "{:?}", start.elapsed());
}

async fn nothing_runs_on_after_its_owner(place: Place) {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for round in 0..3 {
        let observation = place.registry.observe().unwrap();
        let kept = place.announce("kept", round, AUTO);
        let dropped = place.announce("dropped", round, AUTO);
        rank_of(&kept).await;
        rank_of(&dropped).await;
        drop((observation, dropped));
        kept.withdraw().await;
    }
    let end = Instant::now() + Duration::from_secs(5);
    while alive() > before {
        assert!(Instant::now() < end, "{} tasks, {before} before", alive());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn an_announcement_can_be_withdrawn_before_it_is_registered(place: Place) {
    let first = place.announce("w", 1, fixed(0));
    first.withdraw().await;
    let again = place.announce("w", 2, fixed(0));
    let start = Instant::now();
    let (_, _) = status_where(&again, "registered", worker::is_registered).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

async fn an_owner_s_name_is_held_while_the_owner_lives(place: Place) {
    let owner = OwnerId::new("engine-1").unwrap();
    let watch = place.registry.watch_owner(&owner);
    let mut state = watch.state();
    let mut turns = async |wanted: OwnerState, within: Duration| {
        let seen = tokio::time::timeout(within, state.wait_for(|state| *state == wanted)).await;
        seen.unwrap_or_else(|_| panic!("not {wanted:?} within {within:?}")).unwrap();
    };
    let soon = Duration::from_secs(10);
    turns(OwnerState::Free, soon).await;
    let claim = place.registry.own(&owner);
    claim.held().await;
    if !place.keeps_records {
        return;
    }
    turns(OwnerState::Held, soon).await;
    claim.withdraw().await;
    turns(OwnerState::Free, soon).await;
    // One that dies without a word.
    let claim = place.registry.own(&owner);
    claim.held().await;
    turns(OwnerState::Held, soon).await;
    drop(claim);
    turns(OwnerState::Free, place.expiry + soon).await;
}

/// Each case on each registry that it makes sense for.
macro_rules! suite {
    ($($place:ident: $($case:ident),+;)+) => {$(
        mod $place {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Place::$place()).await;
            })+
        }
    )+};
}

suite! {
    etcd:
        an_announced_worker_is_seen_until_it_withdraws,
        a_changed_record_is_seen,
        auto_takes_the_lowest_free_rank,
        a_rank_that_is_held_is_refused,
        a_crashed_worker_takes_its_own_rank_back_at_once,
        an_id_that_is_in_use_is_refused,
        a_dead_worker_s_id_is_free_after_its_time,
        nothing_runs_on_after_its_owner,
        an_owner_s_name_is_held_while_the_owner_lives,
        an_announcement_can_be_withdrawn_before_it_is_registered;
    dir:
        an_announced_worker_is_seen_until_it_withdraws,
        a_changed_record_is_seen,
        auto_takes_the_lowest_free_rank,
        a_rank_that_is_held_is_refused,
        a_crashed_worker_takes_its_own_rank_back_at_once,
        an_id_that_is_in_use_is_refused,
        a_dead_worker_s_id_is_free_after_its_time,
        nothing_runs_on_after_its_owner,
        an_owner_s_name_is_held_while_the_owner_lives,
        an_announcement_can_be_withdrawn_before_it_is_registered;
    static_list:
        an_announced_worker_is_seen_until_it_withdraws,
        a_changed_record_is_seen,
        nothing_runs_on_after_its_owner,
        an_owner_s_name_is_held_while_the_owner_lives,
        an_announcement_can_be_withdrawn_before_it_is_registered;
}
