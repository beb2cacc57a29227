//! Replicas as transient units of systemd, each with its shim as the main process.
//!
//! systemd starts, limits and ends them; the shim's report says how a replica is and how it ended,
//! and outlives the unit. Output goes to the journal and, within bounds, to a file in the replica's
//! folder, which `logs` reads: so it works even if this user can't read the journal.

mod bus;
mod start;
mod unit;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::collect::{self, Pace};
use crate::draft::Draft;
use crate::shim::{self, Binding, Log, Plan, ProcessId, Report, Shim};
use crate::{
    Capabilities, Error, Handle, LaunchRecord, LaunchSpec, Launcher, LogLines, LogOptions, Outcome,
    Owner, Placement, Replica, Resources, StateDir, Status, cards, logs,
};
pub use bus::Manager;
use bus::{Bus, NAME, UnitState};
use start::Startup;

/// How often the end of a cancelled replica is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// Beyond a unit's own limits: time for the manager to enforce them.
const MANAGER_GRACE: Duration = Duration::from_secs(5);

/// Starts transient units of one of this host's managers; a spec's `placement.pool`, `user` or
/// `system`, names the other one.
#[derive(Debug)]
pub struct SystemdLauncher {
    state: StateDir,
    shim: Shim,
    usual: Manager,
    system: Bus,
    user: Bus,
}

impl SystemdLauncher {
    /// A launcher that keeps its launches in `state`, runs replicas under `shim` and asks the manager
    /// `usual` where a spec names none. It connects at the first question.
    #[must_use]
    pub fn new(state: StateDir, shim: Shim, usual: Manager) -> Self {
        let (system, user) = (Bus::new(Manager::System), Bus::new(Manager::User));
        Self { state, shim, usual, system, user }
    }

    fn check(&self, spec: &LaunchSpec) -> Result<Manager, Error> {
        spec.check()?;
        let Placement { pool, hosts, labels, image } = &spec.placement;
        let unfit = [
            ("placement.hosts", !hosts.is_empty()),
            ("placement.labels", !labels.is_empty()),
            ("placement.image", image.is_some()),
        ];
        if let Some((field, _)) = unfit.into_iter().find(|(_, given)| *given) {
            let remedy = "it starts units of this host; use slurm or kubernetes".to_owned();
            return Err(Error::Unsupported { launcher: NAME, field, remedy });
        }
        if !spec.resources.cores.is_empty() {
            let remedy = "it limits how many, by cpus; use process, which pins".to_owned();
            return Err(Error::Unsupported { launcher: NAME, field: "cores", remedy });
        }
        let wrong = |field, value: String, remedy: &str| Error::Spec {
            field,
            value,
            remedy: remedy.to_owned(),
        };
        if let Some(folder) = spec.working_dir.as_ref().filter(|folder| !folder.is_dir()) {
            let value = folder.display().to_string();
            return Err(wrong("working_dir", value, "name a folder that is there"));
        }
        let Some(pool) = pool else { return Ok(self.usual) };
        let unknown = |()| wrong("placement.pool", format!("{pool:?}"), "use user or system");
        pool.parse().map_err(unknown)
    }

    fn bus(&self, manager: Manager) -> &Bus {
        match manager {
            Manager::System => &self.system,
            Manager::User => &self.user,
        }
    }

    /// The manager that a launch was given to.
    fn bus_of(&self, record: &LaunchRecord) -> &Bus {
        self.bus(record.native.parse().unwrap_or(self.usual))
    }

    fn folder(&self, handle: &Handle) -> PathBuf {
        self.state.replica_folder(&handle.launch, handle.rank)
    }

    /// The units of replicas that are not known to have ended: one question to each manager.
    async fn units(
        &self,
        handles: &[&Handle],
        records: &BTreeMap<crate::LaunchId, LaunchRecord>,
    ) -> Result<HashMap<String, UnitState>, Error> {
        let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for handle in handles {
            let record = &records[&handle.launch];
            names.entry(&record.native).or_default().push(unit::name(handle));
        }
        let mut units = HashMap::new();
        for (manager, names) in names {
            let manager = manager.parse().unwrap_or(self.usual);
            units.extend(self.bus(manager).list(&names).await?);
        }
        Ok(units)
    }

    /// A replica whose shim has reported nothing yet.
    fn silent(
        &self,
        handle: &Handle,
        record: &LaunchRecord,
        alive: bool,
    ) -> Result<Replica, Error> {
        // It may have reported and ended meanwhile.
        if let Some(report) = Report::read_here(&self.folder(handle))? {
            return Ok(report.replica(handle.rank));
        }
        if alive || record.age() < start::BEGIN * 2 {
            return Ok(Replica::pending(handle.rank));
        }
        let name = unit::name(handle);
        let error = Some(format!("its unit ended before it began: journalctl -u {name}"));
        Ok(Replica { status: Status::Failed, error, ..Replica::pending(handle.rank) })
    }

    /// Whether a replica has ended; records the end of one that was cancelled and whose shim can't.
    fn conclude(&self, handle: &Handle, alive: bool) -> Result<bool, Error> {
        let folder = self.folder(handle);
        let report = Report::read(&folder)?;
        if report.as_ref().is_some_and(|report| report.status.is_final()) {
            return Ok(true);
        }
        if alive || report.as_ref().is_some_and(|report| report.shim.runs()) {
            return Ok(false);
        }
        let report = report.or_else(|| ProcessId::own().map(Report::begin));
        if let Some(report) = report {
            let program = report.program.clone();
            report.end(Status::Cancelled, None).write(&folder)?;
            shim::clear(&folder, program.as_ref());
        }
        Ok(true)
    }
}

#[async_trait]
impl Launcher for SystemdLauncher {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            supports_inter_replica_network: true,
            supports_many_hosts: false,
            limits_cpus: true,
            limits_memory: true,
            supports_gpus: true,
            supports_owner: true,
            shares_files: true,
        }
    }

    fn choose(&self, spec: &LaunchSpec) -> Result<Resources, Error> {
        Ok(Resources { gpus: cards::choose(NAME, spec)?, ..spec.resources.clone() })
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Vec<Handle>, Error> {
        let manager = self.check(spec)?;
        let path = spec.env.get("PATH").map(std::ffi::OsStr::new);
        let program = shim::find(&spec.program, path)?;
        let spec = LaunchSpec { program, ..spec.clone() };
        let cards = cards::deal(NAME, &spec)?;
        let bus = self.bus(manager);
        // Before anything is written: the most common fault is an absent manager.
        bus.list(&[]).await?;
        let record = LaunchRecord::new(spec.launch_id(), NAME, &spec, manager.name());
        let draft = Draft::new(&self.state, &record.id);
        let mut starting = Startup { units: Vec::new(), draft };
        self.state.create(&record, &spec.files)?;
        let handles: Vec<Handle> = record.handles().collect();
        for (handle, rank) in handles.iter().zip(0..) {
            let folder = self.folder(handle);
            let mut plan = Plan::new(&record, handle.rank, &self.state);
            plan.env.extend(cards.as_ref().map(|cards: &Vec<_>| cards[rank as usize].clone()));
            if let Log::File { echo, .. } = &mut plan.log {
                *echo = true;
            }
            if spec.owner == Owner::Caller {
                plan.binding = ProcessId::own().map_or(Binding::None, Binding::Process);
            }
            plan.write(&folder)?;
            let properties = unit::properties(handle, &spec, &self.shim, &folder, manager);
            let name = unit::name(handle);
            starting.units.push((name.clone(), folder));
            bus.start_transient(&name, &properties).await?;
        }
        starting.wait_for_programs(bus).await?;
        starting.keep();
        Ok(handles)
    }

    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
        let records = self.state.launches_of(NAME, handles)?;
        let mut replicas = Vec::with_capacity(handles.len());
        let mut silent = Vec::new();
        for handle in handles {
            let report = Report::read_here(&self.folder(handle))?;
            if report.is_none() {
                silent.push(handle);
            }
            replicas.push(report.map(|report| report.replica(handle.rank)));
        }
        // A shim that has reported is on this host, and is checked without the manager.
        let units = self.units(&silent, &records).await?;
        let replicas = handles.iter().zip(replicas).map(|(handle, replica)| match replica {
            Some(replica) => Ok(replica),
            None => {
                let alive = units.get(&unit::name(handle)).is_some_and(|unit| unit.alive);
                self.silent(handle, &records[&handle.launch], alive)
            }
        });
        replicas.collect()
    }

    async fn logs(&self, handle: &Handle, options: LogOptions) -> Result<LogLines, Error> {
        self.state.launches_of(NAME, std::slice::from_ref(handle))?;
        let folder = self.folder(handle);
        let Log::File { path, .. } = Log::in_folder(&folder) else {
            return Ok(Box::pin(futures_util::stream::empty()));
        };
        logs::lines(&path, options, move || {
            let report = Report::read_here(&folder);
            // A report that can't be read counts as ended, so that nobody waits for ever.
            let ended = report.map_or(true, |report| report.is_some_and(|r| r.status.is_final()));
            async move { ended }
        })
    }

    async fn cancel(&self, handles: &[Handle]) -> Result<(), Error> {
        let records = self.state.launches_of(NAME, handles)?;
        let (mut open, mut refused): (Vec<&Handle>, _) = (Vec::new(), Ok(()));
        for handle in handles {
            let report = Report::read_here(&self.folder(handle))?;
            if report.as_ref().is_some_and(|report| report.status.is_final()) {
                continue;
            }
            // Over a shared folder: this host's manager knows nothing of that one's units.
            if let Some(Err(error)) = report.map(|report| report.check_is_here(NAME, handle)) {
                // The others are ended nevertheless.
                refused = refused.and(Err(error));
                continue;
            }
            match self.bus_of(&records[&handle.launch]).stop(&unit::name(handle)).await {
                Ok(()) => open.push(handle),
                Err(error) => refused = refused.and(Err(error)),
            }
        }
        let grace = records.values().map(|record| record.spec.grace).max().unwrap_or_default();
        let deadline = Instant::now() + grace + unit::SHIM_GRACE + MANAGER_GRACE;
        loop {
            let units = self.units(&open, &records).await?;
            let mut left = Vec::new();
            for handle in open {
                let alive = units.get(&unit::name(handle)).is_some_and(|unit| unit.alive);
                // A shim reports before it ends itself; by then its unit is to be gone as well.
                if !self.conclude(handle, alive)? || alive {
                    left.push(handle);
                }
            }
            if left.is_empty() {
                return refused;
            }
            if Instant::now() >= deadline {
                let left: Vec<String> = left.into_iter().map(ToString::to_string).collect();
                let reason = format!("{} did not end: systemctl status", left.join(", "));
                return Err(Error::Manager { launcher: NAME, reason });
            }
            open = left;
            sleep(LOOK).await;
        }
    }

    async fn collect(
        &self,
        handles: &[Handle],
        timeout: Option<Duration>,
    ) -> Result<Vec<Outcome>, Error> {
        collect::outcomes(self, &self.state, handles, timeout, Pace::QUICK).await
    }
}
