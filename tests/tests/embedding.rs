//! A program that embeds the worker and adds a method of its own; and what stalled readers of its
//! large replies cost others on the same connection: nothing.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::CallError;
use hearth_base::task::OwnedTask;
use hearth_fabric::identity::{Authority, Identity};
use hearth_fabric::quic::{CallEvent, Connection, Connector, Settings, Target};
use hearth_fabric::registry::{self, RegistryUrl};
use hearth_protocol::codec;
use hearth_protocol::message::{Attachment, Request};
use hearth_protocol::methods::Health;
use hearth_protocol::record::WorkerState;
use hearth_protocol::role::Role;
use hearth_worker::methods::{Answer, Call};
use hearth_worker::{Config, Overrides, Worker};
use tokio_util::sync::CancellationToken;

const BULK: u64 = 64 << 20;
const DAY: Duration = Duration::from_secs(86_400);

/// The added method: 64 MiB.
async fn bulk(_call: Call) -> Result<Answer, CallError> {
    let attachment = Attachment {
        name: "bulk".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        len: BULK,
        tensor: None,
    };
    let body = vec![7; usize::try_from(BULK).unwrap_or_default()].into();
    Ok(Answer { value: Vec::new(), attachments: vec![attachment], payload: vec![body] })
}

fn request(method: &str) -> Request {
    Request {
        id: "r".parse().expect("an id"),
        attempt: 0,
        incarnation: None,
        method: method.to_owned(),
        args: codec::EMPTY.to_vec().into(),
        deadline_ms: None,
        traceparent: None,
        attachments: Vec::new(),
    }
}

async fn health(connection: &Connection) -> (Health, Duration) {
    let start = Instant::now();
    let mut call = connection.call(&request("check_health"), &[]).await.expect("a call");
    let CallEvent::Reply(reply, ..) = call.next().await.expect("a reply") else {
        panic!("an event of a method that has none");
    };
    let value = reply.value.expect("a value");
    (codec::decode(&value).expect("health"), start.elapsed())
}

/// The 99th percentile of the time that a look at the worker's health takes.
async fn slow_health(connection: &Connection) -> Duration {
    let mut times = Vec::new();
    for _ in 0..200 {
        let (health, time) = health(connection).await;
        assert!(health.healthy);
        times.push(time);
    }
    times.sort();
    times[197]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_stalled_replies_of_64_mib_leave_health_quick() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().expect("a folder");
    let authority = Authority::create("test", DAY).expect("an authority");
    for (role, name) in [(Role::Worker, "w0"), (Role::Coordinator, "c0")] {
        let issued = authority.issue(role, name, DAY, &[]).expect("a certificate");
        issued.write(&dir.path().join(name)).expect("files");
    }
    let url = format!("dir:{}", dir.path().join("registry").display());
    let file = dir.path().join("worker.toml");
    let text = format!(
        "[worker]\nid = \"w0\"\nlisten = \"127.0.0.1:0\"\nstate_dir = {:?}\n\
         [models.later]\npath = \"/nonexistent\"\npreload = false\n[registry]\nurl = {url:?}\n\
         [tls]\ndir = {:?}\n[http]\nlisten = \"off\"\n",
        dir.path().join("state"),
        dir.path().join("w0"),
    );
    std::fs::write(&file, text).expect("a config");
    let config = Config::load(Some(&file), &Overrides::default()).expect("a config");
    let mut worker = Worker::bind(config).await.expect("a worker");
    let handler = Arc::new(|call| Box::pin(bulk(call)) as _);
    worker.methods().register("bulk", &[Role::Coordinator], handler).expect("a new name");
    let stop = CancellationToken::new();
    let running = worker.run(stop.clone(), stop.clone());
    let task = OwnedTask::spawn("worker", |_| async { running.await.expect("a good end") });

    let url = RegistryUrl::parse(&url).expect("a URL");
    let registry = registry::open(&url, &registry::Settings::default()).expect("a registry");
    let observation = registry.observe().expect("a view");
    let mut view = observation.view();
    let ready = |view: &Arc<registry::View>| {
        view.workers.values().any(|record| record.state == WorkerState::Ready)
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), view.wait_for(ready)).await;
    let record = seen.expect("in time").expect("a view").workers.values().next().cloned();
    let record = record.expect("a record");

    let identity = Arc::new(Identity::load(&dir.path().join("c0")).expect("an identity"));
    let connector = Connector::new(identity, Settings::default(), "test").expect("a socket");
    let target = Target {
        addresses: record.endpoints.clone(),
        fingerprint: Some(record.certificate.clone()),
    };
    let connection = connector.connect(&target).await.expect("a connection");

    let alone = slow_health(&connection).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(connection.call(&request("bulk"), &[]).await.expect("a call"));
    }
    // Nobody reads the replies: they fill their windows and stand. Until then they take the cores.
    let mut quick = 0;
    let end = Instant::now() + Duration::from_secs(20);
    while quick < 50 && Instant::now() < end {
        let (_, time) = health(&connection).await;
        quick = if time < Duration::from_millis(5) { quick + 1 } else { 0 };
    }
    // Where other work has the cores, every call waits for them now and then. One that waited for a
    // stalled reply would do so in every round.
    let bound = (3 * alone).max(Duration::from_millis(20));
    let mut rounds = Vec::new();
    while rounds.len() < 5 && rounds.last().is_none_or(|p99| *p99 > bound) {
        rounds.push(slow_health(&connection).await);
    }
    assert!(rounds.last() <= Some(&bound), "p99 {rounds:?}, and {alone:?} without them");
    for mut call in stalled {
        let CallEvent::Reply(_, payload, _) = call.next().await.expect("the reply") else {
            panic!("an event of a method that has none");
        };
        assert_eq!(payload[0].len() as u64, BULK);
    }
    connector.close().await;
    stop.cancel();
    task.stop().await;
}
