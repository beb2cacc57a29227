//! Collective calls: empty, pipelined, with large replies; over 1, 4 and 8 workers.

use std::time::Instant;

use anyhow::Result;

use super::Effort;
use crate::children::Server;
use crate::measure::Samples;
use crate::peers::FanOut;
use crate::peers::bare_quic::Quinn;
use crate::peers::hearth::Hearth;
use crate::peers::tcp::Tcp;
use crate::pki;
use crate::report::{Case, Report, say};

/// The same fan-out over each subject.
struct Subjects {
    hearth: Hearth,
    quinn: Quinn,
    tcp: Tcp,
}

pub(crate) async fn run(report: &mut Report, only: &str, effort: Effort) -> Result<()> {
    for n in [1, 4, 8] {
        let dir = tempfile::tempdir()?;
        pki::create(dir.path())?;
        let start = |peer: &str| -> Result<Vec<Server>> {
            let server = |i| Server::start(peer, dir.path(), dir.path(), &format!("w{i}"));
            (0..n).map(server).collect()
        };
        let (_workers, quinn, tcp) = (start("hearth")?, start("quinn")?, start("tcp")?);
        let addrs = |servers: &[Server]| servers.iter().map(|s| s.addr.clone()).collect::<Vec<_>>();
        let subjects = Subjects {
            hearth: Hearth::connect(dir.path(), dir.path(), n).await?,
            quinn: Quinn::connect(dir.path(), &addrs(&quinn)).await?,
            tcp: Tcp::connect(&addrs(&tcp)).await?,
        };
        for case in ["empty", "pipelined64", "reply1m", "reply16m"] {
            let name = format!("rpc.{case}.n{n}");
            if !name.starts_with(only) || (case == "pipelined64" && n > 1) {
                continue;
            }
            say(&format!("measuring {name}"));
            report.cases.push(match case {
                "empty" => subjects.timed(name, "µs", 0, effort.calls, effort).await?,
                "reply1m" => {
                    subjects.timed(name, "µs", 1 << 20, effort.replies * 4, effort).await?
                }
                "reply16m" => subjects.timed(name, "µs", 16 << 20, effort.replies, effort).await?,
                _ => subjects.pipelined(name, effort).await?,
            });
        }
        subjects.hearth.engine.close().await;
    }
    Ok(())
}

impl Subjects {
    async fn timed(
        &self,
        name: String,
        unit: &'static str,
        bytes: u64,
        calls: usize,
        effort: Effort,
    ) -> Result<Case> {
        let (mut ours, mut quinn, mut tcp) = <(Samples, Samples, Samples)>::default();
        for round in 0..=effort.rounds {
            // The first round only warms caches and congestion windows.
            let keep = round > 0;
            turn(&self.hearth, bytes, calls, keep.then_some(&mut ours)).await?;
            turn(&self.quinn, bytes, calls, keep.then_some(&mut quinn)).await?;
            turn(&self.tcp, bytes, calls, keep.then_some(&mut tcp)).await?;
        }
        Ok(ours.case(name, unit, vec![("quinn", quinn), ("tcp", tcp)]))
    }

    async fn pipelined(&self, name: String, effort: Effort) -> Result<Case> {
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

async fn turn(
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
