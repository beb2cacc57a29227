//! Servers in processes of their own, which end with this one.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A server's process. Dropped, its standard input closes and it ends.
pub(crate) struct Server {
    pub(crate) addr: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Server {
    /// Starts this program as the server of `peer` and waits for its address.
    pub(crate) fn start(peer: &str, pki: &Path, registry: &Path, id: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", peer, "--id", id]);
        command.arg("--pki").arg(pki).arg("--registry").arg(registry);
        Self::spawn(command)
    }

    /// Starts a program that prints its address as its first line.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no standard output")?;
        let mut addr = String::new();
        if BufReader::new(stdout).read_line(&mut addr)? == 0 {
            bail!("{:?} ended before it said its address", command.get_program());
        }
        Ok(Self { addr: addr.trim().to_owned(), child, stdin })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Waiting fails only for a process that was waited for.
        let _ = self.child.wait();
    }
}
