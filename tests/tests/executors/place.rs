//! An engine over each kind of executor, and what can be seen of its workers' processes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hearth_engine::executor::{CallStream, Executor, OutgoingCall};
use hearth_engine::{
    Backends, CallError, Config, Engine, ExternalExecutor, FleetView, LaunchedExecutor, NoArgs,
    RpcOptions, Start, WorkerId, call,
};
use hearth_launchers::shim::Shim;
use hearth_launchers::slurm::{self, Slurm};
use hearth_launchers::systemd::Manager;
use hearth_launchers::{Launcher, StateDir, SystemdLauncher};
use hearth_protocol::methods::Stats;
use hearth_tests::{Fleet, FleetOptions, SlurmCluster, program, source, until};
use tokio::sync::watch;

/// Workers of each engine here.
pub(crate) const WORKERS: usize = 2;

/// Until anything that should happen has, on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An engine, and where its workers live.
pub(crate) struct Place {
    pub(crate) engine: Engine,
    /// Whether the workers' processes are the engine's.
    pub(crate) owns: bool,
    pub(crate) dir: tempfile::TempDir,
    /// The workers that somebody else started.
    _fleet: Option<Fleet>,
}

/// The config of an engine that owns its workers.
pub(crate) fn owning(backend: &str, dir: &Path) -> String {
    let model = format!("emoji={}", source().join("models/emoji").display());
    let grace = if backend == "launched" { "owner_grace = \"1s\"\n" } else { "" };
    format!(
        "[executor]\nbackend = {backend:?}\nworkers = {WORKERS}\nmin_workers = {WORKERS}\n\
         program = {:?}\nargs = [\"--model\", {model:?}]\nruntime_dir = {dir:?}\n\
         {grace}wait = \"60s\"\nstart_timeout = \"60s\"\n[http]\nlisten = \"off\"\n",
        program("hearth-worker"),
    )
}

/// The config of an engine over workers that run.
pub(crate) fn over(backend: &str, fleet: &Fleet) -> String {
    format!(
        "[executor]\nbackend = {backend:?}\nmin_workers = {WORKERS}\nworkers = [\"w0\", \"w1\"]\n\
         [registry]\nurl = {:?}\n[tls]\ndir = {:?}\n[http]\nlisten = \"off\"\n",
        fleet.registry(),
        fleet.pki("coordinator-c0"),
    )
}

pub(crate) fn fleet() -> Fleet {
    Fleet::start(FleetOptions { workers: WORKERS, ..FleetOptions::default() })
}

/// The config of an engine that owns replicas of Slurm: a cluster's nodes find each other in a
/// registry that all of them reach.
pub(crate) fn owning_on_slurm(cluster: &SlurmCluster, dir: &Path) -> String {
    let registry = format!("dir:{}", cluster.shared().join("registry").display());
    let resources = "launcher = \"slurm\"\ncpus = 1\nmemory = \"512MiB\"\n[http]";
    let text = owning("launched", dir).replace("[http]", resources);
    format!("{text}[registry]\nurl = {registry:?}\n")
}

/// Launches through a launcher that no name stands for.
fn launched_through(
    launcher: impl Fn(StateDir) -> Arc<dyn Launcher> + Send + Sync + 'static,
) -> Backends {
    let launcher = Arc::new(launcher);
    let mut backends = Backends::builtin();
    backends.register("launched", move |start: Start| {
        let launcher = Arc::clone(&launcher);
        async move {
            let executor = LaunchedExecutor::start_with(&start, |state| launcher(state)).await?;
            Ok(Arc::new(executor) as _)
        }
    });
    backends
}

impl Place {
    /// An engine that owns its workers.
    pub(crate) async fn owning(backend: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let text = owning(backend, dir.path());
        Self::start(&text, &Backends::builtin(), dir, None).await
    }

    /// An engine over workers that somebody else started.
    pub(crate) async fn over(backend: &str) -> Self {
        let mut backends = Backends::builtin();
        backends.register("custom", async |start: Start| {
            Ok(Arc::new(Custom(ExternalExecutor::start(start.external()?)?)) as _)
        });
        // It waits as a program without async code does.
        let fleet = tokio::task::spawn_blocking(fleet).await.expect("workers");
        let dir = tempfile::tempdir().expect("a folder");
        Self::start(&over(backend, &fleet), &backends, dir, Some(fleet)).await
    }

    /// An engine that owns units of the user's manager.
    pub(crate) async fn on_systemd() -> Self {
        let shim = Shim::find(None).expect("a shim");
        // Root would be given the machine's own manager.
        let backends = launched_through(move |state| {
            Arc::new(SystemdLauncher::new(state, shim.clone(), Manager::User))
        });
        let dir = tempfile::tempdir().expect("a folder");
        let text = owning("launched", dir.path());
        Self::start(&text, &backends, dir, None).await
    }

    /// An engine that owns jobs of a cluster.
    pub(crate) async fn on_slurm(cluster: &SlurmCluster) -> Self {
        let shim = Shim::find(None).expect("a shim");
        let config = slurm::Config { commands: cluster.commands(), env: cluster.env() };
        let backends = launched_through(move |state| {
            Arc::new(Slurm::new(state, shim.clone(), config.clone()))
        });
        let dir = tempfile::tempdir_in(cluster.shared()).expect("a folder");
        let text = owning_on_slurm(cluster, dir.path());
        Self::start(&text, &backends, dir, None).await
    }

    async fn start(
        text: &str,
        backends: &Backends,
        dir: tempfile::TempDir,
        fleet: Option<Fleet>,
    ) -> Self {
        let config = Config::parse(text, backends).expect("a config");
        let engine = Engine::start(&config, backends, "test/0").await.expect("an engine");
        Self { engine, owns: fleet.is_none(), dir, _fleet: fleet }
    }

    /// What each worker counts, by rank.
    pub(crate) async fn stats(&self) -> Vec<Stats> {
        let asked = self.engine.call::<call::Stats>(NoArgs {}, RpcOptions::new()).await;
        let envelopes = asked.expect("a call").into_iter();
        envelopes.map(|envelope| envelope.outcome.expect("an answer")).collect()
    }

    /// How many launches the engine's launcher remembers; none where it has no launcher.
    pub(crate) fn launches(&self) -> Option<usize> {
        let engine = std::fs::read_dir(self.dir.path()).ok()?.flatten().next()?.path();
        Some(std::fs::read_dir(engine.join("replicas")).ok()?.count())
    }

    /// Waits until the fleet is as it should be.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&FleetView) -> bool) {
        let mut fleet = self.engine.fleet();
        let seen = tokio::time::timeout(SOON, fleet.wait_for(|view| is(view))).await;
        let view = self.engine.fleet();
        seen.unwrap_or_else(|_| panic!("{what}: {:#?}", view.borrow())).expect("an engine");
    }
}

/// An executor that a program registered.
struct Custom(ExternalExecutor);

#[async_trait]
impl Executor for Custom {
    fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.0.fleet()
    }

    async fn call(
        &self,
        worker: &WorkerId,
        call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError> {
        self.0.call(worker, call).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// Whether a process lives.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; its parent has not looked yet.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Worker processes whose command line names a folder.
pub(crate) fn workers_of(dir: &Path) -> Vec<u32> {
    let wanted = dir.display().to_string();
    let of = |entry: std::fs::DirEntry| -> Option<u32> {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let worker = line.split('\0').next()?.ends_with("hearth-worker");
        (worker && line.contains(&wanted) && lives(pid)).then_some(pid)
    };
    std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(of).collect()
}

/// Waits, in a program without async code, until `n` workers of a folder run.
pub(crate) fn until_workers(dir: &Path, n: usize) -> Vec<u32> {
    until("the workers run", SOON, || Some(workers_of(dir)).filter(|pids| pids.len() == n))
}
