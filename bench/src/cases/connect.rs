//! A new coordinator program, from its start until eight workers are healthy, through a real etcd.

use std::time::Instant;

use anyhow::Result;
use serde::Deserialize;

use super::effort::Effort;
use crate::children::{Etcd, Server, Site};
use crate::measure::Samples;
use crate::peers::hearth::Hearth;
use crate::pki;
use crate::python::{Peer, Peers};
use crate::report::{Report, say};

const WORKERS: usize = 8;

/// A new driver of a peer.
#[derive(Deserialize)]
struct ConnectTime {
    ms: f64,
    importing_ms: f64,
}

pub(crate) async fn run(
    report: &mut Report,
    name: &str,
    effort: Effort,
    peers: &mut Peers,
) -> Result<()> {
    let dir = tempfile::tempdir()?;
    pki::create(dir.path(), WORKERS)?;
    let etcd = Etcd::start()?;
    let place = Site { dir: dir.path().to_owned(), registry: etcd.url() };
    let worker = |id: String| Server::start("hearth", &place, &id, 1);
    let _workers: Vec<_> = pki::worker_ids(WORKERS).map(worker).collect::<Result<_>>()?;
    // All are registered.
    Hearth::connect(&place, WORKERS).await?.engine.close().await;
    let mut ray = peers.start(Peer::Ray, dir.path()).await?;

    say(&format!("measuring {name}"));
    let (mut ours, mut rays, mut importing) = <(Samples, Samples, Samples)>::default();
    for round in 0..=effort.starts {
        let started = Instant::now();
        let coordinator = Server::start("connect", &place, "coordinator", WORKERS)?;
        let took = started.elapsed();
        drop(coordinator);
        // The first start reads the programs from disk.
        if round > 0 {
            ours.add_ms(took);
        }
        if let Some(ray) = &mut ray {
            let ConnectTime { ms, importing_ms } = ray.ask("reconnect", ()).await?;
            if round > 0 {
                rays.add(ms);
                importing.add(importing_ms);
            }
        }
    }
    let mut beside = Vec::new();
    if let Some(ray) = ray {
        let share = importing.p50();
        peers.notes.push(format!("{share:.0} ms of ray's {name} are its import in Python"));
        beside.push((ray.name(), rays));
        ray.stop().await?;
    }
    report.cases.push(ours.case(name, "ms", beside));
    Ok(())
}
