//! Collective calls: empty, pipelined, with large replies; over 1, 4 and 8 workers.

use std::time::Instant;

use anyhow::Result;

use super::effort::{Effort, is_wanted};
use crate::children::{Server, Site};
use crate::measure::Samples;
use crate::peers::FanOut;
use crate::peers::bare_quic::Quinn;
use crate::peers::hearth::Hearth;
use crate::peers::tcp::Tcp;
use crate::pki;
use crate::python::{self, Peer, Peers};
use crate::report::{Case, Report, say};

/// All cases of this file.
pub(super) const NAMES: [&str; 10] = [
    "rpc.empty.n1",
    "rpc.pipelined64.n1",
    "rpc.reply1m.n1",
    "rpc.reply16m.n1",
    "rpc.empty.n4",
    "rpc.reply1m.n4",
    "rpc.reply16m.n4",
    "rpc.empty.n8",
    "rpc.reply1m.n8",
    "rpc.reply16m.n8",
];

const MOST: usize = 8;

/// The same fan-out over each subject.
struct Subjects<'a> {
    hearth: Hearth,
    quinn: Quinn,
    tcp: Tcp,
    python: &'a mut [python::Process],
    n: usize,
}

pub(crate) async fn run(
    report: &mut Report,
    only: &str,
    effort: Effort,
    peers: &mut Peers,
) -> Result<()> {
    let own = tempfile::tempdir()?;
    let mut python = Vec::new();
    for peer in [Peer::Ray, Peer::GrpcMtls] {
        python.extend(peers.start(peer, own.path()).await?);
    }
    for n in [1, 4, MOST] {
        let wanted = |name: &&str| is_wanted(only, name) && name.ends_with(&format!(".n{n}"));
        let names: Vec<_> = NAMES.into_iter().filter(wanted).collect();
        if names.is_empty() {
            continue;
        }
        let dir = tempfile::tempdir()?;
        pki::create(dir.path(), n)?;
        let place = Site::with_folder(dir.path());
        let start = |what: &str| -> Result<Vec<Server>> {
            pki::worker_ids(n).map(|id| Server::start(what, &place, &id, 1)).collect()
        };
        let (_workers, quinn, tcp) = (start("hearth")?, start("quinn")?, start("tcp")?);
        let addrs = |servers: &[Server]| servers.iter().map(|s| s.addr.clone()).collect::<Vec<_>>();
        let mut subjects = Subjects {
            hearth: Hearth::connect(&place, n).await?,
            quinn: Quinn::connect(dir.path(), &addrs(&quinn)).await?,
            tcp: Tcp::connect(&addrs(&tcp)).await?,
            python: &mut python,
            n,
        };
        for name in names {
            say(&format!("measuring {name}"));
            report.cases.push(match name.split('.').nth(1) {
                Some("empty") => subjects.timed(name, 0, effort.calls, effort.rounds).await?,
                Some("reply1m") => {
                    subjects.timed(name, 1 << 20, effort.replies * 4, effort.rounds).await?
                }
                Some("reply16m") => {
                    subjects.timed(name, 16 << 20, effort.replies, effort.rounds).await?
                }
                _ => subjects.pipelined(name, effort).await?,
            });
        }
        subjects.hearth.engine.close().await;
    }
    for peer in python {
        peer.stop().await?;
    }
    Ok(())
}

impl Subjects<'_> {
    async fn timed(&mut self, name: &str, bytes: u64, calls: usize, rounds: usize) -> Result<Case> {
        let (mut ours, mut quinn, mut tcp) = <(Samples, Samples, Samples)>::default();
        let mut python: Vec<_> =
            self.python.iter().map(|peer| (peer.name(), Samples::default())).collect();
        for round in 0..=rounds {
            // The first round only warms caches and congestion windows.
            let keep = round > 0;
            turn(&self.hearth, bytes, calls, keep.then_some(&mut ours)).await?;
            turn(&self.quinn, bytes, calls, keep.then_some(&mut quinn)).await?;
            turn(&self.tcp, bytes, calls, keep.then_some(&mut tcp)).await?;
            for (peer, (_, samples)) in self.python.iter_mut().zip(&mut python) {
                let times = peer.fan_out(self.n, bytes, calls).await?;
                times.into_iter().filter(|_| keep).for_each(|time| samples.add(time));
            }
        }
        let beside = [("quinn", quinn), ("tcp", tcp)].into_iter().chain(python);
        Ok(ours.case(name, "µs", beside.collect()))
    }

    async fn pipelined(&self, name: &str, effort: Effort) -> Result<Case> {
        let (mut ours, mut quinn, mut tcp) = <(Samples, Samples, Samples)>::default();
        let calls = effort.calls * 10;
        for round in 0..=effort.rounds {
            let rates = [
                rate(&self.hearth, calls).await?,
                rate(&self.quinn, calls).await?,
                rate(&self.tcp, calls).await?,
            ];
            if round > 0 {
                ours.add(rates[0]);
                quinn.add(rates[1]);
                tcp.add(rates[2]);
            }
        }
        Ok(ours.case(name, "calls/s", vec![("quinn", quinn), ("tcp", tcp)]))
    }
}

pub(super) async fn turn(
    subject: &impl FanOut,
    bytes: u64,
    calls: usize,
    mut samples: Option<&mut Samples>,
) -> Result<()> {
    for _ in 0..calls {
        let start = Instant::now();
        subject.call(bytes).await?;
        if let Some(samples) = &mut samples {
            samples.add_us(start.elapsed());
        }
    }
    Ok(())
}

async fn rate(subject: &impl FanOut, calls: usize) -> Result<f64> {
    let start = Instant::now();
    subject.pipelined(calls).await?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands of calls")]
    Ok(calls as f64 / start.elapsed().as_secs_f64())
}
