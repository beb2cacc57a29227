//! A peer's process: its commands and answers, and its network.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Peer;
use super::environment::FOLDER;

/// A running peer. Dropped, its standard input closes and it ends.
pub(crate) struct Process {
    peer: Peer,
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

#[derive(Deserialize)]
struct Ready {
    version: String,
}

#[derive(Serialize)]
struct Instruction<'a, T> {
    r#do: &'a str,
    #[serde(flatten)]
    with: T,
}

#[derive(Serialize)]
struct FanOut {
    n: usize,
    size: u64,
    calls: usize,
}

impl Process {
    /// Starts a peer in a network namespace of its own, where the system lets us. Also says so.
    pub(super) async fn start(peer: Peer, python: &Path, dir: &Path) -> Result<(Self, String)> {
        let apart = may_unshare().await;
        let mut command = match apart {
            true => {
                let mut command = Command::new("unshare");
                command.args(["--net", "--"]).arg(python);
                command
            }
            false => Command::new(python),
        };
        command.arg(Path::new("bench/peers").join(peer.script()));
        command.args(apart.then_some("--own-network"));
        command.arg("--dir").arg(dir);
        std::fs::create_dir_all(FOLDER)?;
        let log = File::create(log(peer))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().context("the peer can't be started")?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let answers = BufReader::new(stdout).lines();
        let mut process = Self { peer, child, stdin, answers };
        let Ready { version } = process.answer().await?;
        let place = if apart { "in its own network namespace" } else { "in the host's network" };
        let note = format!("{} is {version}, {place}", peer.name());
        Ok((process, note))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.peer.name()
    }

    /// So many calls, one after another, each to `n` servers at once: microseconds of each.
    pub(crate) async fn fan_out(&mut self, n: usize, size: u64, calls: usize) -> Result<Vec<f64>> {
        self.ask("fan_out", FanOut { n, size, calls }).await
    }

    /// Gives a command and waits for its answer.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        what: &str,
        with: impl Serialize,
    ) -> Result<T> {
        let mut line = serde_json::to_vec(&Instruction { r#do: what, with })?;
        line.push(b'\n');
        self.stdin.write_all(&line).await.context("the peer has ended")?;
        self.answer().await
    }

    async fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        match self.answers.next_line().await? {
            Some(line) => serde_json::from_str(&line)
                .with_context(|| format!("{} answers {line:?}", self.name())),
            None => bail!("{} has ended, see {}", self.name(), log(self.peer)),
        }
    }

    /// Lets the peer end, and waits for it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.stdin);
        self.child.wait().await?;
        Ok(())
    }
}

fn log(peer: Peer) -> String {
    format!("{FOLDER}/{}.log", peer.name())
}

async fn may_unshare() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--net", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}
