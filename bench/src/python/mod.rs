//! Peers written in Python, each in a process of its own that measures itself: they get their turns
//! by commands, one JSON line each way. What they print goes to a log in the bench's folder.

mod certificates;
mod environment;
mod peer;
mod process;

use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum as _;

use crate::report::say;
pub(crate) use peer::Peer;
pub(crate) use process::Process;

/// The peers that are asked for, and what the report should say of them.
pub(crate) struct Peers {
    wanted: Vec<Peer>,
    pub(crate) notes: Vec<String>,
}

impl Peers {
    /// Reads `BENCH_PEERS`: empty or `0` is none, `1` is all, else their names with commas.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let all = Peer::value_variants();
        let wanted = match text.trim() {
            "" | "0" => Vec::new(),
            "1" => all.to_vec(),
            names => {
                let peer = |name: &str| {
                    let known = all.iter().copied().find(|peer| peer.name() == name.trim());
                    known.map_or_else(
                        || {
                            let known: Vec<_> = all.iter().map(|peer| peer.name()).collect();
                            bail!("BENCH_PEERS: {name} is not known: 1, or {}", known.join(", "))
                        },
                        Ok,
                    )
                };
                names.split(',').map(peer).collect::<Result<_>>()?
            }
        };
        Ok(Self { wanted, notes: Vec::new() })
    }

    /// Starts a peer in a folder of its own, if it is asked for. The first of its environment
    /// installs it.
    pub(crate) async fn start(&mut self, peer: Peer, dir: &Path) -> Result<Option<Process>> {
        if !self.wanted.contains(&peer) {
            return Ok(None);
        }
        let python = peer.environment().interpreter().await?;
        say(&format!("starting {}", peer.name()));
        if peer == Peer::GrpcMtls {
            certificates::create(dir)?;
        }
        let (process, note) = Process::start(peer, &python, dir).await?;
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
        Ok(Some(process))
    }
}
