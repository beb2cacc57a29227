//! Workers that are started by hand, one after another, and the `hearth` command beside them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, program, until};
use crate::relay::Relay;
use crate::turn::Turn;

/// Until a worker has loaded the demo model, on a loaded machine.
const START: Duration = Duration::from_secs(60);

/// The top of the source tree.
#[must_use]
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// How a fleet is made.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// How many workers.
    pub workers: usize,
    /// Where they announce themselves; a folder of the fleet's own where absent.
    pub registry: Option<String>,
    /// `NAME=DIR` of the model.
    pub model: String,
    /// Sections that are added to each worker's config.
    pub config: String,
    /// Keys that are added to each worker's `[worker]` section.
    pub worker: String,
    /// Whether each worker keeps its port over restarts, with its probe on the same TCP port.
    pub fixed_ports: bool,
    /// Whether callers reach each worker through a [`Relay`], which can lose what they send. The
    /// ports are fixed then.
    pub relays: bool,
}

impl Default for FleetOptions {
    fn default() -> Self {
        let model = format!("emoji={}", source().join("models/emoji").display());
        Self {
            workers: 1,
            registry: None,
            model,
            config: String::new(),
            worker: String::new(),
            fixed_ports: false,
            relays: false,
        }
    }
}

/// A loopback address whose port nobody has, neither over UDP nor over TCP.
fn free_address() -> SocketAddr {
    until("a free port", Duration::from_secs(5), || {
        let address = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).ok()?;
        TcpListener::bind(address).ok().map(|_| address)
    })
}

/// A cluster's certificates, and workers in their own processes.
#[derive(Debug)]
pub struct Fleet {
    dir: TempDir,
    registry: String,
    options: FleetOptions,
    addresses: Vec<SocketAddr>,
    relays: Vec<Relay>,
    /// The workers, by rank.
    pub workers: Vec<Process>,
}

/// What a run of `hearth` gave.
#[derive(Debug)]
pub struct Run {
    /// Its exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// The standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// This, when the run was a success.
    ///
    /// # Panics
    /// When it was not.
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{self:?}");
        self
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Fleet {
    /// Makes certificates, starts the workers and waits until all are ready.
    ///
    /// # Panics
    /// When one of them does not come up.
    #[must_use]
    pub fn start(options: FleetOptions) -> Self {
        Turn::assert_taken();
        let dir = tempfile::tempdir().unwrap();
        let own = format!("dir:{}", dir.path().join("registry").display());
        let registry = options.registry.clone().unwrap_or(own);
        let count = options.workers;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let fixed = options.fixed_ports || options.relays;
        let address = |_| if fixed { free_address() } else { any };
        let addresses: Vec<_> = (0..count.max(1)).map(address).collect();
        let relays = match options.relays {
            true => (0..).zip(&addresses).map(|(rank, to)| Relay::start(*to, rank)).collect(),
            false => Vec::new(),
        };
        let mut fleet = Self { dir, registry, options, addresses, relays, workers: Vec::new() };
        fleet.make_certificates();
        for rank in 0..count {
            let worker = fleet.start_worker(rank);
            fleet.workers.push(worker);
        }
        if count > 0 {
            fleet.wait_ready(count);
        }
        fleet
    }

    fn make_certificates(&self) {
        let authority = self.dir.path().join("authority");
        let mut init = Command::new(program("hearth"));
        init.args(["pki", "init", "--cluster", "test", "--dir"]).arg(&authority);
        let _ = Run::from(init.output().unwrap()).ok();
        // Two names each, so that every certificate has a folder of its own name.
        let names: Vec<String> =
            (0..self.options.workers.max(1) + 1).map(|i| format!("w{i}")).collect();
        let out = self.dir.path().join("pki");
        self.issue("worker", &names, &out);
        self.issue("coordinator", &["c0".to_owned(), "c1".to_owned()], &out);
        self.issue("admin", &["a0".to_owned(), "a1".to_owned()], &out);
    }

    fn issue(&self, role: &str, names: &[String], out: &Path) {
        let mut command = Command::new(program("hearth"));
        command
            .args(["pki", "issue", "--role", role, "--dir"])
            .arg(self.dir.path().join("authority"));
        command.arg("--out").arg(out).args(names);
        let _ = Run::from(command.output().unwrap()).ok();
    }

    /// Gives the worker of a rank a new key and certificate of its name, in the place of the old.
    ///
    /// # Panics
    /// When they can't be written.
    pub fn renew_certificate(&self, rank: usize) {
        let name = format!("w{rank}");
        let fresh = tempfile::tempdir_in(self.dir.path()).unwrap();
        self.issue("worker", &[name.clone(), format!("{name}-unused")], fresh.path());
        let name = format!("worker-{name}");
        for file in ["tls.key", "tls.crt"] {
            let fresh = fresh.path().join(&name).join(file);
            std::fs::rename(fresh, self.pki(&name).join(file)).unwrap();
        }
    }

    /// The folder of a certificate, as in `coordinator-c0`.
    #[must_use]
    pub fn pki(&self, name: &str) -> PathBuf {
        self.dir.path().join("pki").join(name)
    }

    /// Where the workers announce themselves.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Where the worker of a rank listens, over UDP for calls and over TCP for its probe; only with
    /// fixed ports.
    #[must_use]
    pub fn address(&self, rank: usize) -> SocketAddr {
        self.addresses[rank]
    }

    /// What callers of the worker of a rank go through; only with relays.
    #[must_use]
    pub fn relay(&self, rank: usize) -> &Relay {
        &self.relays[rank]
    }

    /// What the probe of a worker answers to a GET, with its head; only with fixed ports.
    ///
    /// # Panics
    /// When it doesn't answer.
    #[must_use]
    pub fn probe(&self, rank: usize, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address(rank)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: w{rank}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A folder for a test's own files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the worker of a rank; the same one again after it ended.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start_worker(&self, rank: usize) -> Process {
        let mut command = self.worker_command(rank);
        Process::start(&mut command, &self.dir.path().join(format!("w{rank}.log")))
    }

    /// The command that starts the worker of a rank, with its config written.
    ///
    /// # Panics
    /// When the config can't be written.
    #[must_use]
    pub fn worker_command(&self, rank: usize) -> Command {
        let config = self.dir.path().join(format!("w{rank}.toml"));
        let address = self.addresses[rank];
        let probe = if self.options.fixed_ports { address.to_string() } else { "off".to_owned() };
        let (name, model) = self.options.model.split_once('=').unwrap();
        let text = format!(
            "[worker]\nid = \"w{rank}\"\nrank = {rank}\nlisten = \"{address}\"\n\
             state_dir = {:?}\n{}\n[models.{name}]\npath = {model:?}\n[registry]\nurl = {:?}\n\
             ttl = \"3s\"\n[tls]\ndir = {:?}\n[http]\nlisten = \"{probe}\"\n[runtime]\nthreads = 1\n{}",
            self.dir.path().join("state"),
            self.options.worker,
            self.registry,
            self.pki(&format!("worker-w{rank}")),
            self.options.config,
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program("hearth-worker"));
        command.arg("--config").arg(&config).current_dir(source());
        if let Some(relay) = self.relays.get(rank) {
            command.env("HEARTH_WORKER__ADVERTISE", relay.address().to_string());
        }
        command
    }

    /// Waits until `count` workers are ready.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn wait_ready(&self, count: usize) {
        until("the workers are ready", START, || {
            let run = self.hearth(&["workers", "--json"]);
            (run.status == 0 && run.stdout.matches("\"ready\"").count() >= count).then_some(())
        });
    }

    /// The `hearth` command, as an administrator of this fleet.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_as("admin-a0", args)
    }

    /// The same as whoever has the certificate of this name.
    #[must_use]
    pub fn command_as(&self, pki: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program("hearth"));
        command.args(["--registry", &self.registry, "--pki"]).arg(self.pki(pki));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1");
        command
    }

    /// Runs the `hearth` command.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn hearth(&self, args: &[&str]) -> Run {
        Run::from(self.command(args).output().unwrap())
    }

    /// Runs it as whoever has the certificate of this name.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn hearth_as(&self, pki: &str, args: &[&str]) -> Run {
        Run::from(self.command_as(pki, args).output().unwrap())
    }

    /// A counter of each worker's `stats`, by rank.
    ///
    /// # Panics
    /// When a worker does not answer.
    #[must_use]
    pub fn stats(&self, counter: &str) -> Vec<u64> {
        let rows = self.hearth(&["rpc", "stats", "--json"]).ok().json();
        let value = |row: &Value| {
            row["value"][counter].as_u64().unwrap_or_else(|| panic!("no {counter} in {row}"))
        };
        rows.as_array().unwrap().iter().map(value).collect()
    }
}
