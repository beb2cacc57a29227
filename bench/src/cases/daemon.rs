//! A real `hearth-worker` with the demo model: what it costs while it waits.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hearth_engine::{NoArgs, RpcOptions, call};
use hearth_protocol::methods::Stats;
use hearth_protocol::role::Role;

use super::effort::Effort;
use crate::children::{Server, Site};
use crate::measure::Samples;
use crate::peers::hearth::Hearth;
use crate::pki;
use crate::report::{Report, say};

/// A worker's process and a connection to it.
pub(crate) struct Daemon {
    pub(crate) hearth: Hearth,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Daemon {
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        pki::create(dir.path(), 0)?;
        let model = Path::new("models/emoji");
        if !model.is_dir() {
            bail!("models/emoji is not here: run from the top of the source tree");
        }
        let place = Site::with_folder(dir.path());
        let child = Command::new(beside("hearth-worker")?)
            .args(["--id", &Role::Worker.to_string(), "--listen", "127.0.0.1:0", "--lifeline"])
            .args(["--registry", &place.registry, "--model", "emoji=models/emoji", "--pki"])
            .arg(pki::folder(dir.path(), Role::Worker))
            .env("HEARTH_WORKER__STATE_DIR", dir.path().join("state"))
            .env("HEARTH_HTTP__LISTEN", "off")
            .env("HEARTH_LOG__LEVEL", "warn")
            .stdin(Stdio::piped())
            .spawn()
            .context("hearth-worker can't be started: cargo build --release --bins")?;
        let hearth = Hearth::connect(&place, 1).await?;
        Ok(Self { hearth, child, _dir: dir })
    }

    pub(crate) async fn stats(&self) -> Result<Stats> {
        let asked = self.hearth.engine.call::<call::Stats>(NoArgs {}, RpcOptions::new());
        let envelope = asked.await?.into_iter().next().context("one worker answers")?;
        Ok(envelope.outcome?)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.hearth.engine.close().await;
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { bail!("hearth-worker ended with {status}") }
    }
}

/// A program that was built with this one.
fn beside(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    Ok(here.parent().context("a program lies in a folder")?.join(name))
}

pub(crate) async fn run(report: &mut Report, effort: Effort) -> Result<()> {
    say("measuring worker");
    let mut over = Samples::default();
    for _ in 0..3 {
        let daemon = Daemon::start().await?;
        let nowhere = Site::with_folder(Path::new("."));
        let model: u64 = Server::start("model", &nowhere, "model", 0)?.addr.parse()?;
        let worker = daemon.stats().await?.rss_bytes;
        #[expect(clippy::cast_precision_loss, reason = "some hundred megabytes")]
        over.add((worker as f64 - model as f64) / 1e6);
        daemon.stop().await?;
    }
    report.cases.push(over.case("worker.rss_over_ort", "MB", Vec::new()));

    let daemon = Daemon::start().await?;
    let mut idle = Samples::default();
    for _ in 0..3 {
        let before = daemon.stats().await?;
        tokio::time::sleep(Duration::from_secs(effort.idle_s)).await;
        let after = daemon.stats().await?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of some seconds")]
        idle.add((after.cpu_ms - before.cpu_ms) as f64 / (effort.idle_s * 1000) as f64 * 100.0);
    }
    report.cases.push(idle.case("worker.idle_cpu", "% of a core", Vec::new()));
    daemon.stop().await
}
