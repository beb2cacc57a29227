//! A fleet that is asked for pictures without a pause while faults are done to it: workers killed,
//! frozen, ended and given new certificates, etcd killed, frozen and emptied, datagrams lost,
//! coordinators that die. What came of every request is checked afterwards.
//!
//! A seed draws the faults and the requests. `HEARTH_SOAK_SECONDS` is how long it lasts,
//! `HEARTH_SOAK_SEED` the seed: `make soak` gives both.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]
#![expect(clippy::print_stdout, reason = "the report is of interest, shown with --nocapture")]

mod act;
mod client;
mod footprint;
mod history;
mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use history::History;
use site::Site;
use tokio::task::JoinSet;

/// Workers of the fleet.
const WORKERS: usize = 3;

/// Clients that ask without a pause.
const CLIENTS: u64 = 4;

/// How long the fleet may take to be whole again after the last fault.
const RECOVERY: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_end_no_request_twice_late_or_wrongly() {
    let _turn = hearth_tests::Turn::take();
    let setting = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("number"));
    let duration = Duration::from_secs(setting("HEARTH_SOAK_SECONDS").unwrap_or(60));
    let seed = setting("HEARTH_SOAK_SEED").unwrap_or(7);

    let mut site = tokio::task::spawn_blocking(|| Site::start(WORKERS)).await.expect("site");
    let pictures = Arc::new(client::expected_pictures(&site).await);
    let before = site.footprints();
    let history = Arc::new(History::default());
    let over = Arc::new(AtomicBool::new(false));
    let start = Instant::now();

    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (pictures, history) = (Arc::clone(&pictures), Arc::clone(&history));
        let client = client::Client::new(&site, number, seed, pictures, history);
        clients.spawn(client.ask_until(Arc::clone(&over)));
    }
    let faults = tokio::task::spawn_blocking(move || {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut acts = Vec::new();
        // One second of health before the first fault.
        std::thread::sleep(Duration::from_secs(1));
        while start.elapsed() < duration {
            let act = act::draw(&mut random, WORKERS);
            let from = Instant::now();
            site.perform(act);
            acts.push((from..Instant::now(), act));
            std::thread::sleep(Duration::from_millis(random.u64(500..4000)));
        }
        (site, acts)
    });
    let (site, acts) = faults.await.expect("faults");
    over.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("a client ends");
    }
    let (site, whole) = tokio::task::spawn_blocking(move || {
        let whole = site.recover(RECOVERY);
        (site, whole)
    })
    .await
    .expect("recovery");
    let last = client::expected_pictures(&site).await;

    let mut violations = history.violations(&pictures, &acts);
    violations.extend(site.violations());
    if last != *pictures {
        violations.push("the fleet draws other pictures than before".to_owned());
    }
    let after = tokio::task::spawn_blocking(move || {
        let after = footprint::settle(&before, || site.footprints());
        (before, after)
    });
    let (before, after) = after.await.expect("footprints");
    violations.extend(footprint::violations(&before, &after));

    println!("seed {seed}, {} s, whole again after {whole:?}", start.elapsed().as_secs());
    act::print(&acts);
    history.print();
    footprint::print(&before, &after);
    assert!(history.finished() > 0, "no request was finished: nothing was tried");
    assert!(violations.is_empty(), "seed {seed}:\n{}", violations.join("\n"));
}
