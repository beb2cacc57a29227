//! A real etcd on free ports.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Process, until};

/// One member; its data outlives its process.
#[derive(Debug)]
pub struct Etcd {
    dir: TempDir,
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Process>,
}

impl Etcd {
    /// Starts a fresh member.
    ///
    /// # Panics
    /// When etcd is not there or does not come up.
    #[must_use]
    pub fn start() -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (client, peer) = (free(), free());
        let (client, peer) = (client.local_addr().unwrap(), peer.local_addr().unwrap());
        let mut etcd = Self { dir: tempfile::tempdir().unwrap(), client, peer, process: None };
        etcd.resume();
        etcd
    }

    /// The registry in it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://{}/default", self.client)
    }

    /// Ends the member as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends the member as a crash would, and takes its data away.
    ///
    /// # Panics
    /// When the data can't be removed.
    pub fn wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.dir.path().join("data")).unwrap();
    }

    /// Sends the member a signal by its name, as in `STOP`.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().unwrap().signal(name);
    }

    /// Starts the member again on its ports and data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn resume(&mut self) {
        let (client, peer) = (format!("http://{}", self.client), format!("http://{}", self.peer));
        let mut command = Command::new(etcd());
        command
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--logger=zap"]);
        self.process = Some(Process::start(&mut command, &self.dir.path().join("log")));
        until("etcd listens", Duration::from_secs(20), || TcpStream::connect(self.client).ok());
    }
}

/// The one that `make test` brought, or the system's.
fn etcd() -> PathBuf {
    let brought = crate::source().join(".deps/bin/etcd");
    if brought.is_file() { brought } else { PathBuf::from("etcd") }
}
