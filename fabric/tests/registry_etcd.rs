//! What only a cluster's registry can suffer: a real etcd is killed, frozen, compacted, guarded.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail, and shows figures")]

#[path = "support/etcd.rs"]
mod etcd_server;
#[path = "support/worker.rs"]
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Permission, PermissionType};
use hearth_api::Rank;
use hearth_fabric::identity::Authority;
use hearth_fabric::registry::{
    AnnounceStatus, Announcement, Error, Observation, RankWish, Registry, RegistryUrl, Settings,
    View, open,
};
use hearth_protocol::role::Role;
use tempfile::TempDir;
use worker::{id, is_registered, rank_of, record, sees, status_where, view_where};

const TTL: Duration = Duration::from_secs(3);

fn settings() -> Settings {
    Settings { ttl: TTL, ..Settings::default() }
}

fn registry(url: &str, settings: &Settings) -> Arc<dyn Registry> {
    open(&RegistryUrl::parse(url).unwrap(), settings).unwrap()
}

fn announce(registry: &dyn Registry, name: &str, wish: RankWish, disk: &Path) -> Announcement {
    registry.announce(record(name, 1), wish, disk).unwrap()
}

/// Three workers under TTL 3, and an observer that sees them.
async fn fleet(server: &etcd_server::Etcd, disk: &Path) -> (Vec<Announcement>, Observation) {
    let registry = registry(&server.url(), &settings());
    let mut fleet = Vec::new();
    for (rank, name) in ["a", "b", "c"].into_iter().enumerate() {
        let announcement = announce(&*registry, name, RankWish::Auto, disk);
        assert_eq!(rank_of(&announcement).await as usize, rank);
        fleet.push(announcement);
    }
    let observation = registry.observe().unwrap();
    sees(&observation, &[("a", 0), ("b", 1), ("c", 2)]).await;
    (fleet, observation)
}

async fn whole_again(fleet: &[Announcement], observation: &Observation, limit: Duration) {
    let start = Instant::now();
    for (rank, announcement) in fleet.iter().enumerate() {
        let (status, _) = status_where(announcement, "registered again", is_registered).await;
        let AnnounceStatus::Registered { rank: held } = status else { unreachable!() };
        assert_eq!(held.0 as usize, rank, "the same rank");
    }
    let whole = |v: &View| v.workers.len() == 3 && v.stale_since.is_none();
    let (view, _) = view_where(observation, "the whole fleet", whole).await;
    let took = start.elapsed();
    println!("whole again after {took:?}");
    assert!(took <= limit, "{took:?}");
    for (rank, name) in ["a", "b", "c"].into_iter().enumerate() {
        let seen = &view.workers[&id(name)];
        assert_eq!(seen.rank.0 as usize, rank);
        assert_eq!(seen.incarnation, record(name, 1).incarnation);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_nothing_but_fresh_news() {
    let (mut server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let (fleet, observation) = fleet(&server, disk.path()).await;

    server.kill();
    let (view, took) = view_where(&observation, "stale", |v| v.stale_since.is_some()).await;
    println!("stale after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(view.workers.len(), 3, "the last view stays");
    assert!(matches!(view.error.as_deref(), Some(Error::Unreachable { .. })), "{view:?}");
    for announcement in &fleet {
        let pending = |s: &AnnounceStatus| matches!(s, AnnounceStatus::Pending { reason: Some(_) });
        status_where(announcement, "pending", pending).await;
    }
    tokio::time::sleep(TTL * 2).await;
    server.run();
    // It answers once it has elected itself.
    server.client(None).await;
    whole_again(&fleet, &observation, TTL).await;
    // What holds now goes on holding.
    tokio::time::sleep(TTL + Duration::from_secs(1)).await;
    sees(&observation, &[("a", 0), ("b", 1), ("c", 2)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_frozen_past_the_ttl_gets_everybody_back() {
    let (server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let (fleet, observation) = fleet(&server, disk.path()).await;

    let mut client = server.client(None).await;
    let before = leases(&mut client).await;
    assert_eq!(before.len(), 3);
    server.freeze();
    let (view, took) = view_where(&observation, "stale", |v| v.stale_since.is_some()).await;
    println!("stale after {took:?}");
    assert!(took <= Duration::from_secs(5), "{took:?}");
    assert_eq!(view.workers.len(), 3, "the last view stays");
    tokio::time::sleep(TTL + Duration::from_secs(2)).await;
    let thawed = Instant::now();
    server.thaw();
    while leases(&mut client).await.iter().any(|lease| before.contains(lease)) {
        assert!(thawed.elapsed() < Duration::from_secs(10), "the old leases live on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    whole_again(&fleet, &observation, Duration::from_secs(5)).await;
    println!("under new leases {:?} after the thaw", thawed.elapsed());
    assert_eq!(leases(&mut client).await.len(), 3, "one lease each");
    tokio::time::sleep(TTL + Duration::from_secs(1)).await;
    sees(&observation, &[("a", 0), ("b", 1), ("c", 2)]).await;
}

/// Everybody's lease expires at once, as after a long freeze.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_mass_expiry_everybody_has_a_lease_again() {
    let (server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let (fleet, observation) = fleet(&server, disk.path()).await;
    let mut client = server.client(None).await;
    let before = leases(&mut client).await;
    for lease in &before {
        client.lease_revoke(*lease).await.unwrap();
    }
    let expired = Instant::now();
    view_where(&observation, "their loss", |v| v.workers.is_empty()).await;
    whole_again(&fleet, &observation, Duration::from_secs(5)).await;
    println!("registered again {:?} after the expiry", expired.elapsed());
    let after = leases(&mut client).await;
    assert_eq!(after.len(), 3, "one lease each");
    assert!(after.iter().all(|lease| !before.contains(lease)));
}

/// The leases that hold the workers' records.
async fn leases(client: &mut etcd_client::Client) -> Vec<i64> {
    let prefix = etcd_client::GetOptions::new().with_prefix();
    let records = client.get("/hearth/v1/default/workers/", Some(prefix)).await.unwrap();
    records.kvs().iter().map(etcd_client::KeyValue::lease).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_go_without_their_lease_come_back() {
    let (server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let (fleet, observation) = fleet(&server, disk.path()).await;
    let mut client = server.client(None).await;
    client.delete("/hearth/v1/default/workers/b", None).await.unwrap();
    sees(&observation, &[("a", 0), ("c", 2)]).await;
    whole_again(&fleet, &observation, TTL).await;
    client.delete("/hearth/v1/default/ranks/2", None).await.unwrap();
    let gone = |s: &AnnounceStatus| matches!(s, AnnounceStatus::Pending { .. });
    status_where(&fleet[2], "the loss", gone).await;
    whole_again(&fleet, &observation, TTL).await;
    let rank = client.get("/hearth/v1/default/ranks/2", None).await.unwrap();
    assert_eq!(rank.kvs()[0].value(), b"c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_and_what_is_not_a_record_do_no_harm() {
    let (mut server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let (fleet, observation) = fleet(&server, disk.path()).await;
    let mut client = server.client(None).await;
    let prefix = "/hearth/v1/default/workers";
    client.put(format!("{prefix}/x"), "not JSON", None).await.unwrap();
    client.put(format!("{prefix}/y"), vec![b' '; 100_000], None).await.unwrap();
    let other = serde_json::to_vec(&record("somebody", 1)).unwrap();
    client.put(format!("{prefix}/z"), other, None).await.unwrap();
    client.put(format!("{prefix}/z/deeper"), "{}", None).await.unwrap();
    let last = client.put("/elsewhere", "", None).await.unwrap();
    let revision = last.header().unwrap().revision();
    client.compact(revision, None).await.unwrap();
    server.kill();
    view_where(&observation, "stale", |v| v.stale_since.is_some()).await;
    server.run();
    server.client(None).await;
    whole_again(&fleet, &observation, TTL).await;
    fleet[0].update(|record| record.device = "cuda:0".to_owned()).unwrap();
    let changed = |v: &View| v.workers.get(&id("a")).is_some_and(|r| r.device == "cuda:0");
    view_where(&observation, "the change", changed).await;
    let late = registry(&server.url(), &settings()).observe().unwrap();
    sees(&late, &[("a", 0), ("b", 1), ("c", 2)]).await;
}

/// Two workers want the same rank at the same time, 200 times: each time one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rank_has_one_owner_in_each_of_200_races() {
    let (server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let registry = registry(&server.url(), &settings());
    for batch in 0..10 {
        let mut races = Vec::new();
        for race in batch * 20..batch * 20 + 20 {
            let wish = RankWish::Fixed(Rank(race));
            let left = announce(&*registry, &format!("left-{race}"), wish, disk.path());
            let right = announce(&*registry, &format!("right-{race}"), wish, disk.path());
            races.push((left, right));
        }
        for (left, right) in races {
            match (left.registered().await, right.registered().await) {
                (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => {
                    assert!(matches!(*lost, Error::DuplicateRank { .. }), "{lost}");
                }
                other => panic!("{other:?}"),
            }
            left.withdraw().await;
            right.withdraw().await;
        }
    }
}

/// 40 workers come at once and want any rank: each rank is given once, without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranks_have_no_gap_when_many_come_at_once() {
    let (server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let registry = registry(&server.url(), &Settings::default());
    let fleet: Vec<_> = (0..40)
        .map(|n| announce(&*registry, &format!("w{n}"), RankWish::Auto, disk.path()))
        .collect();
    let mut ranks = Vec::new();
    for announcement in &fleet {
        ranks.push(rank_of(announcement).await);
    }
    ranks.sort_unstable();
    assert_eq!(ranks, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_a_dead_member_serves() {
    let (server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = registry(&format!("etcd://{dead},{}", server.endpoint()), &settings());
    let start = Instant::now();
    let announcement = announce(&*registry, "w", RankWish::Auto, disk.path());
    rank_of(&announcement).await;
    let observation = registry.observe().unwrap();
    sees(&observation, &[("w", 0)]).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_named() {
    let disk = TempDir::new().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = registry(&format!("etcd://{nobody}"), &settings());
    let announcement = announce(&*registry, "w", RankWish::Auto, disk.path());
    let pending = |s: &AnnounceStatus| matches!(s, AnnounceStatus::Pending { reason: Some(_) });
    let (status, took) = status_where(&announcement, "the reason", pending).await;
    let AnnounceStatus::Pending { reason: Some(reason) } = status else { unreachable!() };
    println!("{reason}");
    assert!(reason.to_string().contains(&nobody.to_string()), "{reason}");
    assert!(reason.to_string().contains("refused"), "{reason}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let observation = registry.observe().unwrap();
    let (view, _) = view_where(&observation, "an error", |v| v.error.is_some()).await;
    assert!(!view.synced && view.stale_since.is_some());
    let start = Instant::now();
    announcement.withdraw().await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_for_and_checked() {
    let (server, disk) = (etcd_server::Etcd::start(), TempDir::new().unwrap());
    let mut admin = server.client(None).await;
    admin.user_add("root", "root's", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    for (name, kind) in [("hearth", PermissionType::Readwrite), ("reader", PermissionType::Read)] {
        admin.role_add(name).await.unwrap();
        let permission = Permission::new(kind, "/hearth/v1/").with_prefix();
        admin.role_grant_permission(name, permission).await.unwrap();
        admin.user_add(name, format!("{name}'s"), None).await.unwrap();
        admin.user_grant_role(name, name).await.unwrap();
    }
    admin.auth_enable().await.unwrap();

    let user = |name: &str, password: &str| Settings {
        user: Some(name.to_owned()),
        password: Some(password.to_owned()),
        ..settings()
    };
    let good = registry(&server.url(), &user("hearth", "hearth's"));
    let announcement = announce(&*good, "w", RankWish::Auto, disk.path());
    rank_of(&announcement).await;
    let observation = good.observe().unwrap();
    sees(&observation, &[("w", 0)]).await;

    for settings in [settings(), user("hearth", "wrong"), user("nobody", "x")] {
        let bad = registry(&server.url(), &settings);
        let view = bad.observe().unwrap();
        let (view, _) = view_where(&view, "a refusal", |v| v.error.is_some()).await;
        let error = view.error.as_deref().unwrap();
        println!("{error}");
        assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    }
    let reader = registry(&server.url(), &user("reader", "reader's"));
    sees(&reader.observe().unwrap(), &[("w", 0)]).await;
    let refused = announce(&*reader, "r", RankWish::Auto, disk.path());
    let denied = |s: &AnnounceStatus| matches!(s, AnnounceStatus::Pending { reason: Some(e) } if matches!(**e, Error::Auth { .. }));
    status_where(&refused, "a refusal", denied).await;
    announcement.withdraw().await;
    sees(&observation, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_and_strangers_are_refused() {
    let disk = TempDir::new().unwrap();
    let day = Duration::from_secs(86_400);
    let pki = |folder: &str, authority: &Authority, role: Role, name: &str| {
        let path = disk.path().join(folder);
        let sans = ["127.0.0.1".to_owned()];
        authority.issue(role, name, day, &sans).unwrap().write(&path).unwrap();
        path
    };
    let authority = Authority::create("test", day).unwrap();
    let server = pki("server", &authority, Role::Worker, "etcd");
    let client = pki("client", &authority, Role::Admin, "client");
    let stranger = Authority::create("test", day).unwrap();
    let stranger = pki("stranger", &stranger, Role::Admin, "client");

    let server = etcd_server::Etcd::start_with(Some(etcd_server::Tls {
        ca: server.join("ca.crt"),
        cert: server.join("tls.crt"),
        key: server.join("tls.key"),
    }));
    let with = |ca: &Path, own: &Path| Settings {
        cacert: Some(ca.join("ca.crt")),
        cert: Some(own.join("tls.crt")),
        key: Some(own.join("tls.key")),
        ..settings()
    };
    let registry_of = |settings: &Settings| registry(&server.url(), settings);
    let good = registry_of(&with(&client, &client));
    let announcement = announce(&*good, "w", RankWish::Auto, disk.path());
    rank_of(&announcement).await;
    sees(&good.observe().unwrap(), &[("w", 0)]).await;

    let cases = [with(&stranger, &client), with(&client, &stranger)];
    for settings in cases {
        let view = registry_of(&settings).observe().unwrap();
        let (view, _) = view_where(&view, "a refusal", |v| v.error.is_some()).await;
        let error = view.error.as_deref().unwrap();
        println!("{error}");
        assert!(!view.synced && matches!(error, Error::Tls { .. }), "{error:?}");
    }
    // The wrong scheme, each way.
    let plain = etcd_server::Etcd::start();
    let plain = registry(&plain.url().replace("etcd:", "etcds:"), &with(&client, &client));
    let secret = registry(&server.url().replace("etcds:", "etcd:"), &settings());
    for registry in [plain, secret] {
        let view = registry.observe().unwrap();
        let (view, _) = view_where(&view, "a refusal", |v| v.error.is_some()).await;
        println!("{}", view.error.as_deref().unwrap());
    }
    let lacking = Settings { cert: None, ..with(&client, &client) };
    let url = RegistryUrl::parse(&server.url()).unwrap();
    assert!(matches!(open(&url, &lacking), Err(Error::Settings { name: "cert", .. })));
    assert!(matches!(open(&url, &settings()), Err(Error::Settings { name: "cacert", .. })));
}
