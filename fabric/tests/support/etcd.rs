//! A real etcd for tests: one member on free ports, with its data in a temporary folder.
//!
//! Also included by unit tests of the library.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test program uses a part of it, and may fail anywhere"
)]

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub struct Etcd {
    folder: TempDir,
    client: SocketAddr,
    peer: SocketAddr,
    tls: Option<Tls>,
    child: Option<Child>,
}

/// Files of the server's side of TLS.
#[derive(Clone)]
pub struct Tls {
    pub ca: std::path::PathBuf,
    pub cert: std::path::PathBuf,
    pub key: std::path::PathBuf,
}

impl Etcd {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// With `tls`, clients must bring a certificate of the authority.
    pub fn start_with(tls: Option<Tls>) -> Self {
        let [client, peer] = free_addresses();
        let folder = TempDir::new().unwrap();
        let mut etcd = Self { folder, client, peer, tls, child: None };
        etcd.run();
        etcd
    }

    /// `HOST:PORT` for clients.
    pub fn endpoint(&self) -> String {
        self.client.to_string()
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "etcds" } else { "etcd" };
        format!("{scheme}://{}", self.client)
    }

    /// Starts the server again on the same ports and data.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "etcd runs already");
        let data = self.folder.path().join("data");
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut command = Command::new("etcd");
        command
            .arg(format!("--data-dir={}", data.display()))
            .arg(format!("--listen-client-urls={scheme}://{}", self.client))
            .arg(format!("--advertise-client-urls={scheme}://{}", self.client))
            .arg(format!("--listen-peer-urls=http://{}", self.peer))
            .arg(format!("--initial-advertise-peer-urls=http://{}", self.peer))
            .arg(format!("--initial-cluster=default=http://{}", self.peer))
            // A password is to be checked in a moment on a loaded machine too.
            .arg("--bcrypt-cost=4")
            .arg("--logger=zap")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if let Some(tls) = &self.tls {
            command
                .arg("--client-cert-auth")
                .arg(format!("--trusted-ca-file={}", tls.ca.display()))
                .arg(format!("--cert-file={}", tls.cert.display()))
                .arg(format!("--key-file={}", tls.key.display()));
        }
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("etcd can't be started ({error}): install it, e.g. apt-get install etcd-server")
        });
        self.child = Some(child);
        self.wait_until_it_listens();
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("etcd runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Freezes the server; its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// A client of its own, for what an administrator would do.
    pub async fn client(&self, user: Option<(&str, &str)>) -> Client {
        let mut options = ConnectOptions::new();
        if let Some((name, password)) = user {
            options = options.with_user(name, password);
        }
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let client = Client::connect([self.endpoint()], Some(options.clone())).await;
            let error = match client {
                Ok(mut client) => match client.get("/", None).await {
                    Ok(_) => return client,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            assert!(Instant::now() < end, "no client: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("etcd runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn wait_until_it_listens(&mut self) {
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.client).is_err() {
            let exited = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            if exited.is_some() || Instant::now() > end {
                panic!("etcd did not start:\n{}", tail(&self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Two that differ: both are held before either is let go.
fn free_addresses() -> [SocketAddr; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
