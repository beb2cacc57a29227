//! The processes of a local fleet: certificates, configs, start, watch and end.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hearth_engine::FleetView;
use hearth_fabric::identity::Authority;
use hearth_protocol::role::Role;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::config::{self, CoordinatorConfig, WorkerConfig};
use super::daemon::{Daemon, Exit, Stop, last_words};
use super::install::{Model, program};
use super::runtime_dir::{Claim, FleetRecord};
use crate::environment::Environment;
use crate::exit::{Failure, Status};

pub(crate) const WORKER: &str = "hearth-worker";
pub(crate) const COORDINATOR: &str = "hearth-coordinator";
/// The authority's key lives no longer than the fleet.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);
/// Beyond the drain: time to leave the registry and to close.
const GRACE: Duration = Duration::from_secs(5);
/// How often the coordinator's address is tried.
const TRY: Duration = Duration::from_millis(20);

/// What to bring up.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) workers: u32,
    pub(crate) models: Vec<Model>,
    pub(crate) device: String,
    pub(crate) http: Option<SocketAddr>,
    /// How long requests may take to finish when the fleet ends.
    pub(crate) drain: Duration,
}

/// A fleet that ends with this process.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) running: FleetRecord,
    workers: usize,
    http: Option<SocketAddr>,
    stop: Stop,
    daemons: JoinSet<Exit>,
    /// Its files; removed last.
    claim: Claim,
}

/// A daemon that ended without being asked.
#[derive(Debug)]
pub(crate) struct DaemonExit {
    pub(crate) name: String,
    /// `ended with status 2`.
    pub(crate) how: String,
    code: Option<i32>,
    log: Vec<String>,
}

impl Fleet {
    /// Starts the processes; they are not ready yet. Must be called on a tokio runtime.
    pub(crate) fn start(claim: Claim, spec: &Spec, env: &Environment) -> Result<Self, Failure> {
        if let Some(address) = spec.http {
            check_free(address)?;
        }
        let run = claim.run();
        issue(&run.join("pki"), spec)?;
        let registry = run.join("registry");
        for folder in [&registry, &run.join("state"), &run.join("log")] {
            let made = fs::DirBuilder::new().mode(0o700).create(folder);
            made.map_err(|error| {
                Failure::failed(format!("{} can't be made", folder.display()))
                    .caused_by(Some(&error))
            })?;
        }
        let running = FleetRecord {
            pid: std::process::id(),
            registry: format!("dir:{}", registry.display()),
            pki: run.join("pki/admin"),
            http: spec.http.map(|address| format!("http://{address}")),
        };
        let mut daemons = start_workers(run, spec, &running, env)?;
        if let Some(address) = spec.http {
            daemons.push(start_coordinator(run, address, &running, env)?);
        }
        let stop = Stop::default();
        let grace = spec.drain + GRACE;
        let mut tended = JoinSet::new();
        for daemon in daemons {
            tracing::debug!(name = daemon.name, pid = daemon.pid(), "started");
            tended.spawn(daemon.tend(stop.clone(), grace));
        }
        let workers = spec.workers as usize;
        Ok(Self { running, workers, http: spec.http, stop, daemons: tended, claim })
    }

    /// Lets other commands on this host find the fleet.
    pub(crate) fn publish(&self) -> Result<(), Failure> {
        self.claim.publish(&self.running)
    }

    /// Waits until every worker takes requests and the coordinator listens. Calls `seen` with
    /// each change.
    pub(crate) async fn wait_ready(
        &mut self,
        mut view: watch::Receiver<Arc<FleetView>>,
        mut seen: impl FnMut(&FleetView),
    ) -> Result<(), Failure> {
        let (workers, http) = (self.workers, self.http);
        let ready = async {
            loop {
                {
                    let view = view.borrow_and_update();
                    seen(&view);
                    if view.ready().count() >= workers {
                        break;
                    }
                }
                if view.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            if let Some(address) = http {
                while TcpStream::connect(address).await.is_err() {
                    tokio::time::sleep(TRY).await;
                }
            }
        };
        tokio::select! {
            biased;
            ended = self.next_end() => Err(ended.into_failure()),
            () = ready => Ok(()),
        }
    }

    /// Waits until a daemon ends by itself; for ever once none is left.
    pub(crate) async fn next_end(&mut self) -> DaemonExit {
        loop {
            match self.daemons.join_next().await {
                Some(Ok(exit)) if !exit.asked => return DaemonExit::new(exit),
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::error!(%error, "a daemon's keeper failed"),
                None => std::future::pending().await,
            }
        }
    }

    /// How many daemons run.
    pub(crate) fn left(&self) -> usize {
        self.daemons.len()
    }

    /// Asks the daemons to end, and waits until they have; `hurry` kills them.
    pub(crate) async fn stop(mut self, hurry: impl Future<Output = ()>) {
        self.stop.gently.cancel();
        let mut hurry = std::pin::pin!(hurry);
        let mut hurried = false;
        loop {
            tokio::select! {
                biased;
                ended = self.daemons.join_next() => if ended.is_none() { return },
                () = &mut hurry, if !hurried => {
                    hurried = true;
                    self.stop.firmly.cancel();
                }
            }
        }
    }
}

impl DaemonExit {
    fn new(exit: Exit) -> Self {
        Self { name: exit.name, how: exit.how, code: exit.code, log: last_words(&exit.log) }
    }

    /// As the reason why the fleet could not come up.
    pub(crate) fn into_failure(self) -> Failure {
        let status = match self.code {
            Some(2) => Status::Usage,
            _ => Status::Failed,
        };
        let Self { name, how, log, .. } = self;
        let last = log.is_empty().then(|| "it logged nothing".to_owned());
        Failure::new(status, format!("{name} {how} before the fleet was ready"))
            .because(log.into_iter().chain(last))
    }

    /// Its last messages.
    pub(crate) fn log(&self) -> &[String] {
        &self.log
    }
}

/// An authority that lives as long as the fleet, and a certificate for each process.
fn issue(pki: &Path, spec: &Spec) -> Result<(), Failure> {
    let authority = Authority::create("local", VALIDITY)?;
    authority.save(pki)?;
    let write = |role, name: &str, dir: &str| -> Result<(), Failure> {
        Ok(authority.issue(role, name, VALIDITY, &[])?.write(&pki.join(dir))?)
    };
    for index in 0..spec.workers {
        let name = worker_name(index);
        write(Role::Worker, &name, &name)?;
    }
    write(Role::Coordinator, "coordinator", "coordinator")?;
    write(Role::Admin, "cli", "admin")
}

/// The name of a worker of the fleet.
pub(crate) fn worker_name(index: u32) -> String {
    format!("w{index}")
}

fn start_workers(
    run: &Path,
    spec: &Spec,
    running: &FleetRecord,
    env: &Environment,
) -> Result<Vec<Daemon>, Failure> {
    let program = program(WORKER, env)?;
    (0..spec.workers)
        .map(|index| {
            let name = worker_name(index);
            let config = WorkerConfig {
                worker: config::Worker {
                    id: &name,
                    rank: index,
                    device: &spec.device,
                    listen: "127.0.0.1:0",
                    state_dir: run.join("state"),
                    drain_timeout: config::duration(spec.drain),
                },
                models: config::models(&spec.models),
                registry: config::Registry { url: &running.registry },
                tls: config::Tls { dir: run.join("pki").join(&name) },
                http: config::Listen::off(),
                runtime: config::Runtime::shared(env.cores, spec.workers),
                log: config::Log::text(),
            };
            start(run, &format!("worker {name}"), &name, &program, &config, env)
        })
        .collect()
}

fn start_coordinator(
    run: &Path,
    address: SocketAddr,
    running: &FleetRecord,
    env: &Environment,
) -> Result<Daemon, Failure> {
    let config = CoordinatorConfig {
        executor: config::Executor { backend: "external" },
        http: config::Listen::on(address),
        registry: config::Registry { url: &running.registry },
        tls: config::Tls { dir: run.join("pki/coordinator") },
        log: config::Log::text(),
    };
    let program = program(COORDINATOR, env)?;
    start(run, "the coordinator", "coordinator", &program, &config, env)
}

fn start(
    run: &Path,
    name: &str,
    file: &str,
    program: &Path,
    config: &impl serde::Serialize,
    env: &Environment,
) -> Result<Daemon, Failure> {
    let path = run.join(format!("{file}.toml"));
    config::write(&path, config)?;
    Daemon::start(name, program, &path, &run.join("log").join(format!("{file}.log")), env)
}

fn check_free(address: SocketAddr) -> Result<(), Failure> {
    TcpListener::bind(address).map(drop).map_err(|error| {
        Failure::usage(format!(
            "--http {address} can't be listened on: name another address, or --http off"
        ))
        .caused_by(Some(&error))
    })
}
