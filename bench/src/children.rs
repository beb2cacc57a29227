//! Processes of this program, which end with it, and an etcd.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// Where a run's processes find each other.
pub(crate) struct Site {
    /// Certificates, configs and state.
    pub(crate) dir: PathBuf,
    /// The registry's URL.
    pub(crate) registry: String,
}

impl Site {
    /// One whose registry is a folder of its own.
    pub(crate) fn with_folder(dir: &Path) -> Self {
        let registry = format!("dir:{}", dir.join("registry").display());
        Self { dir: dir.to_owned(), registry }
    }
}

/// A process that says things line by line. Dropped, its standard input closes and it ends.
pub(crate) struct Server {
    /// Its first line.
    pub(crate) addr: String,
    lines: BufReader<ChildStdout>,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Server {
    /// Starts this program as `what` with so many workers, and waits for its first line.
    pub(crate) fn start(what: &str, place: &Site, id: &str, workers: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", what, "--id", id, "--workers", &workers.to_string()]);
        command.arg("--dir").arg(&place.dir).arg("--registry").arg(&place.registry);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut server = Self { addr: String::new(), lines, child, stdin };
        server.addr = server.line()?;
        Ok(server)
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            bail!("a process of the bench has ended before its time");
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Waiting fails only for a process that was waited for.
        let _ = self.child.wait();
    }
}

/// A real etcd on free ports. Dropped, it is killed.
pub(crate) struct Etcd {
    child: Child,
    client: SocketAddr,
    _dir: TempDir,
}

impl Etcd {
    pub(crate) fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        // Both are held until both are known, so that they differ.
        let (client, peer) = (free_port()?, free_port()?);
        let (client, peer) = (client.local_addr()?, peer.local_addr()?);
        let (at, peers) = (format!("http://{client}"), format!("http://{peer}"));
        let child = Command::new(program())
            .arg("--data-dir")
            .arg(dir.path())
            .args(["--listen-client-urls", &at, "--advertise-client-urls", &at])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}"), "--logger=zap"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("no etcd: scripts/deps.sh etcd")?;
        let etcd = Self { child, client, _dir: dir };
        let started = Instant::now();
        while TcpStream::connect(client).is_err() {
            if started.elapsed() > Duration::from_secs(20) {
                bail!("etcd does not listen at {client}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(etcd)
    }

    /// The registry in it.
    pub(crate) fn url(&self) -> String {
        format!("etcd://{}/default", self.client)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Fails only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0")
}

/// The one that `scripts/deps.sh` brought, or the system's.
fn program() -> PathBuf {
    let brought = Path::new(".deps/bin/etcd");
    if brought.is_file() { brought.to_owned() } else { PathBuf::from("etcd") }
}
