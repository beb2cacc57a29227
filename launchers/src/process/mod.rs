//! Replicas as plain processes of this host, each under its shim.

mod cores;
mod error;
mod start;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::process::ChildStdin;
use tokio::time::{Instant, sleep};

use crate::collect::{self, Pace};
use crate::shim::{self, Log, Plan, ProcessId, Report, Shim};
use crate::{
    Capabilities, Error, Handle, LaunchRecord, LaunchSpec, Launcher, LogLines, LogOptions, Outcome,
    Placement, Replica, Resources, StateDir, Status, cards, logs,
};
use error::{NAME, unsupported};
use start::Startup;

/// Beyond a replica's grace: time for its shim to finish.
const SHIM_GRACE: Duration = Duration::from_secs(3);
/// How often the end of a cancelled replica is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Starts processes on this host. They are followed through their files alone, so any process of
/// this user can go on with their handles.
#[derive(Debug)]
pub struct ProcessLauncher {
    state: StateDir,
    shim: Shim,
    /// Open as long as this launcher lives: the other ends are the shims' standard inputs.
    lifelines: Mutex<HashMap<Handle, ChildStdin>>,
}

impl ProcessLauncher {
    /// A launcher that keeps its launches in `state` and runs replicas under `shim`.
    #[must_use]
    pub fn new(state: StateDir, shim: Shim) -> Self {
        Self { state, shim, lifelines: Mutex::default() }
    }

    fn check(&self, spec: &LaunchSpec) -> Result<(), Error> {
        spec.check()?;
        let Placement { pool, hosts, labels, image } = &spec.placement;
        let unfit = [
            ("placement.pool", pool.is_some()),
            ("placement.hosts", !hosts.is_empty()),
            ("placement.labels", !labels.is_empty()),
            ("placement.image", image.is_some()),
        ];
        if let Some((field, _)) = unfit.into_iter().find(|(_, given)| *given) {
            let remedy = "it starts plain processes on this host; use slurm or kubernetes";
            return Err(unsupported(field, remedy));
        }
        if spec.resources.memory.is_some() {
            let remedy = "a plain process' memory can't be limited; use systemd, which can";
            return Err(unsupported("memory", remedy));
        }
        match &spec.working_dir {
            Some(folder) if !folder.is_dir() => Err(Error::Spec {
                field: "working_dir",
                value: folder.display().to_string(),
                remedy: "name a folder that is there".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn folder(&self, handle: &Handle) -> PathBuf {
        self.state.replica_folder(&handle.launch, handle.rank)
    }

    fn replica(&self, handle: &Handle, record: &LaunchRecord) -> Result<Replica, Error> {
        if let Some(report) = Report::read_here(&self.folder(handle))? {
            return Ok(report.replica(handle.rank));
        }
        // The record is there and the shim has not begun: either the launch is still going on, or
        // its command was killed in the middle.
        if record.age() < start::BEGIN * 2 {
            return Ok(Replica::pending(handle.rank));
        }
        let error = Some("its launch was broken off before it was started".to_owned());
        Ok(Replica { status: Status::Failed, error, ..Replica::pending(handle.rank) })
    }

    fn lifelines(&self) -> std::sync::MutexGuard<'_, HashMap<Handle, ChildStdin>> {
        // A panic of the holder leaves the map consistent.
        self.lifelines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks a replica's shim to end it. Says whether there is still something to wait for.
    fn ask(&self, handle: &Handle) -> Result<bool, Error> {
        let folder = self.folder(handle);
        let Some(report) = Report::read(&folder)? else {
            // A shim that is still to begin finds this, and does not begin.
            let own = ProcessId::own().map(Report::begin);
            if let Some(report) = own {
                report.end(Status::Cancelled, None).write(&folder)?;
            }
            return Ok(false);
        };
        if report.status.is_final() {
            return Ok(false);
        }
        report.check_is_here(NAME, handle)?;
        if report.shim.signal(Signal::TERM) {
            return Ok(true);
        }
        // Its guard does the same; whichever is first.
        shim::clear(&folder, report.program.as_ref());
        Ok(false)
    }

    /// Ends a replica whose shim did not do it in time.
    fn force(&self, handle: &Handle) -> Result<(), Error> {
        let folder = self.folder(handle);
        let Some(report) = Report::read(&folder)? else { return Ok(()) };
        if report.status.is_final() {
            return Ok(());
        }
        // A shim that is stopped reports nothing any more, and its guard reports only once it is gone:
        // what is written between the two is what stays.
        report.shim.signal(Signal::STOP);
        let has_reported = Report::read(&folder)?.is_some_and(|report| report.status.is_final());
        let (shim, leader) = (report.shim.clone(), report.program.clone());
        let written = match has_reported {
            true => Ok(()),
            false => report.end(Status::Cancelled, None).write(&folder),
        };
        shim.signal(Signal::KILL);
        shim::clear(&folder, leader.as_ref());
        written
    }
}

#[async_trait]
impl Launcher for ProcessLauncher {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            supports_inter_replica_network: true,
            supports_many_hosts: false,
            limits_cpus: true,
            limits_memory: false,
            supports_gpus: true,
            supports_owner: true,
            shares_files: true,
        }
    }

    fn choose(&self, spec: &LaunchSpec) -> Result<Resources, Error> {
        let (gpus, cores) = (cards::choose(NAME, spec)?, cores::choose(spec)?);
        Ok(Resources { gpus, cores, ..spec.resources.clone() })
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Vec<Handle>, Error> {
        self.check(spec)?;
        let path = spec.env.get("PATH").map(std::ffi::OsStr::new);
        let program = shim::find(&spec.program, path)?;
        let resources = self.choose(spec)?;
        let spec = LaunchSpec { program, resources, ..spec.clone() };
        let cards = cards::deal(NAME, &spec)?.unwrap_or_default();
        let cores = &spec.resources.cores;
        let mut cores = cores.chunks((cores.len() / spec.replicas as usize).max(1));
        let record = LaunchRecord::new(spec.launch_id(), NAME, &spec, "");
        let mut starting = Startup::new(&self.state, &record);
        self.state.create(&record, &spec.files)?;
        let handles: Vec<Handle> = record.handles().collect();
        let mut lifelines = Vec::new();
        for handle in &handles {
            let folder = self.folder(handle);
            let mut plan = Plan::new(&record, handle.rank, &self.state);
            plan.cores = cores.next().unwrap_or_default().to_vec();
            plan.env.extend(cards.get(handle.rank as usize).cloned());
            plan.write(&folder)?;
            let lifeline = starting.start(&self.shim, &folder, spec.owner)?;
            lifelines.extend(lifeline.map(|lifeline| (handle.clone(), lifeline)));
        }
        starting.wait_for_programs().await?;
        starting.keep();
        self.lifelines().extend(lifelines);
        Ok(handles)
    }

    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
        let records = self.state.launches_of(NAME, handles)?;
        let replica = |handle: &Handle| self.replica(handle, &records[&handle.launch]);
        let replicas = handles.iter().map(replica);
        let replicas = replicas.collect::<Result<Vec<_>, _>>()?;
        let mut lifelines = self.lifelines();
        if !lifelines.is_empty() {
            for (handle, replica) in handles.iter().zip(&replicas) {
                if replica.status.is_final() {
                    lifelines.remove(handle);
                }
            }
        }
        Ok(replicas)
    }

    async fn logs(&self, handle: &Handle, options: LogOptions) -> Result<LogLines, Error> {
        self.state.launches_of(NAME, std::slice::from_ref(handle))?;
        let folder = self.folder(handle);
        let Log::File { path, .. } = Log::in_folder(&folder) else {
            return Ok(Box::pin(futures_util::stream::empty()));
        };
        logs::lines(&path, options, move || {
            let ended = has_ended(&folder);
            async move { ended }
        })
    }

    async fn cancel(&self, handles: &[Handle]) -> Result<(), Error> {
        let records = self.state.launches_of(NAME, handles)?;
        let (mut open, mut refused) = (Vec::new(), Ok(()));
        for handle in handles {
            match self.ask(handle) {
                Ok(true) => open.push(handle),
                Ok(false) => {}
                // The others are ended nevertheless.
                Err(error) => refused = refused.and(Err(error)),
            }
        }
        let grace = records.values().map(|record| record.spec.grace).max().unwrap_or_default();
        let deadline = Instant::now() + grace + SHIM_GRACE;
        while Instant::now() < deadline {
            open.retain(|handle| !has_ended(&self.folder(handle)));
            if open.is_empty() {
                return refused;
            }
            sleep(LOOK).await;
        }
        open.into_iter().fold(refused, |told, handle| told.and(self.force(handle)))
    }

    async fn collect(
        &self,
        handles: &[Handle],
        timeout: Option<Duration>,
    ) -> Result<Vec<Outcome>, Error> {
        collect::outcomes(self, &self.state, handles, timeout, Pace::QUICK).await
    }
}

/// A report that can't be read counts as ended, so that nobody waits for ever.
fn has_ended(folder: &Path) -> bool {
    match Report::read_here(folder) {
        Ok(Some(report)) => report.status.is_final(),
        Ok(None) => false,
        Err(_) => true,
    }
}
