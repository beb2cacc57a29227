//! Replicas as the tasks of a Slurm job array, one array for each launch.
//!
//! A task is a shim on its replica's folder; what the shim reports is what counts, so accounting
//! may be absent. Slurm itself is asked where the shim says nothing: before it starts, and when it
//! vanished. The state folder has to lie on a file system that the submitting host and the nodes
//! share, at the same path; so do `hearth` and the program.

mod cancel;
mod command;
mod queue;
mod submit;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::collect::{self, Pace};
use crate::draft::Draft;
use crate::shim::{self, Log, Plan, Report, Shim};
use crate::state::{read_json, write_json};
use crate::{
    Capabilities, Error, Handle, LaunchRecord, LaunchSpec, Launcher, LogLines, LogOptions, Outcome,
    Replica, StateDir, Status, logs,
};
use queue::{State, Task, Tasks};

const NAME: &str = "slurm";

/// The batch script, in the launch's folder.
const SCRIPT_FILE: &str = "batch.sh";
/// What is kept of a replica beside its shim's report.
const MEMORY_FILE: &str = "slurm.json";

/// How often Slurm's controller, which is everybody's, is asked for what is waited for.
const PACE: Pace = Pace { first: Duration::from_millis(200), last: Duration::from_secs(5) };
/// Looks at a followed replica's report for one question to the controller.
const LOOKS_A_QUESTION: u32 = 50;

/// How often, at this distance, a report is looked for once its task is over: on a network file
/// system it may come to sight late.
const LATE_REPORT_LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(100);

/// Where Slurm's commands are, and what they are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The folder that has them; as found on PATH when none.
    pub commands: Option<PathBuf>,
    /// Variables for them beside the caller's, such as `SLURM_CONF`.
    pub env: BTreeMap<String, String>,
}

/// Launches through Slurm's `sbatch`, `squeue` and `scancel` (20.11 or newer).
#[derive(Debug, Clone)]
pub struct Slurm {
    state: StateDir,
    shim: Shim,
    config: Config,
}

/// A replica that is asked for.
#[derive(Debug, Clone)]
struct Known {
    handle: Handle,
    record: LaunchRecord,
    /// The array job that has it.
    job: u32,
    folder: PathBuf,
}

/// What is kept of a replica beside its shim's report.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    /// Somebody asked for its end.
    cancelled: bool,
}

impl Slurm {
    /// A launcher that keeps its launches in `state`, with `shim` above each replica.
    #[must_use]
    pub fn new(state: StateDir, shim: Shim, config: Config) -> Self {
        Self { state, shim, config }
    }

    fn known(&self, handles: &[Handle]) -> Result<Vec<Known>, Error> {
        let launches = self.state.launches_of(NAME, handles)?;
        let known = |handle: &Handle| {
            let unknown = || Error::UnknownReplica { handle: handle.clone() };
            let record = launches.get(&handle.launch).ok_or_else(unknown)?.clone();
            // A launch whose submission was cut off has no job.
            let job = record.native.parse().map_err(|_| unknown())?;
            let folder = self.state.replica_folder(&handle.launch, handle.rank);
            Ok(Known { handle: handle.clone(), record, job, folder })
        };
        handles.iter().map(known).collect()
    }

    async fn submit(&self, record: &LaunchRecord, spec: &LaunchSpec) -> Result<u32, Error> {
        let folder = self.state.launch_folder(&record.id);
        for rank in 0..spec.replicas {
            let mut plan = Plan::new(record, rank, &self.state);
            // Slurm finds a task's processes by their session.
            plan.own_session = false;
            plan.write(&self.state.replica_folder(&record.id, rank))?;
        }
        let script = folder.join(SCRIPT_FILE);
        fs::write(&script, submit::SCRIPT)
            .map_err(|source| Error::State { path: script.clone(), source })?;
        let args = submit::arguments(&record.id, spec, &folder, &script, self.shim.program());
        let said = command::must(&self.config, "sbatch", args).await?;
        // `JOB`, or `JOB;CLUSTER` where there are several.
        let job = said.trim().split(';').next().unwrap_or_default();
        job.parse().map_err(|_| command::manager(format!("sbatch named no job: {:?}", said.trim())))
    }

    /// The tasks of all these replicas' jobs, by one question.
    async fn ask(&self, known: &[&Known]) -> Result<Tasks, Error> {
        let jobs: BTreeSet<u32> = known.iter().map(|known| known.job).collect();
        if jobs.is_empty() {
            return Ok(Tasks::new());
        }
        let jobs: Vec<String> = jobs.iter().map(u32::to_string).collect();
        let format = format!("--format={}", queue::FORMAT);
        let args = ["--noheader", "--array", "--states=all", &format, "--jobs", &jobs.join(",")]
            .map(OsString::from);
        match command::run(&self.config, "squeue", args).await? {
            Ok(output) => Ok(queue::parse(&output)),
            // All are over for so long that Slurm has forgotten them.
            Err(said) if said.contains("Invalid job id") => Ok(Tasks::new()),
            Err(said) => Err(command::manager(format!("squeue: {said}"))),
        }
    }

    /// Where the replicas are: what their shims report, and of the others what Slurm says.
    async fn look(&self, known: &[Known]) -> Result<Vec<Replica>, Error> {
        let mut reports = read(known)?;
        let open: Vec<&Known> = known
            .iter()
            .zip(&reports)
            .filter(|(_, report)| !is_final(report.as_ref()))
            .map(|(known, _)| known)
            .collect();
        let tasks = self.ask(&open).await?;
        for _ in 0..LATE_REPORT_LOOKS {
            let late = |(known, report): (&Known, &Option<Report>)| {
                !is_final(report.as_ref()) && is_over(tasks.get(&task(known)))
            };
            if !known.iter().zip(&reports).any(late) {
                break;
            }
            reports = read(known)?;
            sleep(LOOK).await;
        }
        let seen = |(known, report): (&Known, Option<Report>)| match report {
            Some(report) if is_final(Some(&report)) => known.with_end(&report),
            report => known.without_end(report.as_ref(), tasks.get(&task(known))),
        };
        known.iter().zip(reports).map(seen).collect()
    }

    /// Whether a followed replica has ended. Its report says so at once; Slurm is asked now and
    /// then, should there never be one.
    async fn has_ended(&self, known: &Known, looks: &AtomicU32) -> bool {
        let report = Report::read(&known.folder).ok().flatten();
        if is_final(report.as_ref()) {
            return true;
        }
        if looks.fetch_add(1, Ordering::Relaxed) % LOOKS_A_QUESTION != LOOKS_A_QUESTION - 1 {
            return false;
        }
        let seen = self.look(std::slice::from_ref(known)).await;
        seen.is_ok_and(|seen| seen.iter().all(|replica| replica.status.is_final()))
    }
}

impl Known {
    /// A replica whose shim has said how it ended. A task that began while it was cancelled is
    /// ended by Slurm, and then its shim may not know why.
    fn with_end(&self, report: &Report) -> Result<Replica, Error> {
        let replica = report.replica(self.handle.rank);
        if replica.status == Status::Failed && self.memory()?.cancelled {
            return Ok(Replica { status: Status::Cancelled, error: None, ..replica });
        }
        Ok(replica)
    }

    /// A replica whose shim has not said how it ended.
    fn without_end(&self, report: Option<&Report>, task: Option<&Task>) -> Result<Replica, Error> {
        let rank = self.handle.rank;
        let host = task.and_then(|task| task.host.clone());
        let pending = Replica { host, ..Replica::pending(rank) };
        let reported = report.map_or(pending, |report| report.replica(rank));
        let ended = |status, error: Option<String>| Replica { status, error, ..reported.clone() };
        Ok(match task.map(|task| &task.state) {
            Some(State::Waits(reason)) => ended(Status::Pending, reason.clone()),
            Some(State::Runs) => reported,
            Some(State::Cancelled) => ended(Status::Cancelled, None),
            _ if self.memory()?.cancelled => ended(Status::Cancelled, None),
            Some(State::Over(why)) => ended(Status::Failed, Some(self.with_task_log(why))),
            None => {
                let why = "Slurm no longer knows it, and its shim left no report: its node failed, \
                           or does not share the state folder";
                ended(Status::Failed, Some(self.with_task_log(why)))
            }
        })
    }

    /// A reason with the last line of a shim that could not begin.
    fn with_task_log(&self, why: &str) -> String {
        let text = fs::read(self.folder.join(submit::TASK_LOG)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            Some(line) => format!("{why}: {line}"),
            None => why.to_owned(),
        }
    }

    fn memory(&self) -> Result<Memory, Error> {
        Ok(read_json(&self.folder.join(MEMORY_FILE))?.unwrap_or_default())
    }

    fn remember(&self, memory: &Memory) -> Result<(), Error> {
        write_json(&self.folder.join(MEMORY_FILE), memory)
    }
}

#[async_trait]
impl Launcher for Slurm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            supports_inter_replica_network: true,
            supports_many_hosts: true,
            limits_cpus: true,
            limits_memory: true,
            supports_gpus: true,
            supports_owner: false,
            shares_files: true,
        }
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Vec<Handle>, Error> {
        spec.check()?;
        submit::check(spec)?;
        // The nodes have what this host has, at the same path.
        let program = shim::find(&spec.program, spec.env.get("PATH").map(OsStr::new))?;
        let spec = LaunchSpec { program, ..spec.clone() };
        let mut record = LaunchRecord::new(spec.launch_id(), NAME, &spec, "");
        // Until the job's number is kept nobody could cancel it: should that fail, its tasks find
        // no folder, and end.
        let mut draft = Draft::new(&self.state, &record.id);
        self.state.create(&record, &spec.files)?;
        record.native = self.submit(&record, &spec).await?.to_string();
        self.state.save(&record)?;
        draft.keep();
        Ok(record.handles().collect())
    }

    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
        self.look(&self.known(handles)?).await
    }

    async fn logs(&self, handle: &Handle, options: LogOptions) -> Result<LogLines, Error> {
        let known = self.known(std::slice::from_ref(handle))?.remove(0);
        let Log::File { mut path, .. } = Log::in_folder(&known.folder) else {
            return Ok(Box::pin(futures_util::stream::empty()));
        };
        if !path.exists() && self.has_ended(&known, &AtomicU32::new(LOOKS_A_QUESTION - 1)).await {
            // Its shim never began: what it said of that is all there is.
            path = known.folder.join(submit::TASK_LOG);
        }
        let (slurm, known) = (self.clone(), Arc::new((known, AtomicU32::new(0))));
        logs::lines(&path, options, move || {
            let (slurm, known) = (slurm.clone(), Arc::clone(&known));
            async move { slurm.has_ended(&known.0, &known.1).await }
        })
    }

    async fn cancel(&self, handles: &[Handle]) -> Result<(), Error> {
        self.cancel_known(&self.known(handles)?).await
    }

    async fn collect(
        &self,
        handles: &[Handle],
        timeout: Option<Duration>,
    ) -> Result<Vec<Outcome>, Error> {
        collect::outcomes(self, &self.state, handles, timeout, PACE).await
    }
}

fn task(known: &Known) -> (u32, u32) {
    (known.job, known.handle.rank)
}

fn read(known: &[Known]) -> Result<Vec<Option<Report>>, Error> {
    known.iter().map(|known| Report::read(&known.folder)).collect()
}

fn is_final(report: Option<&Report>) -> bool {
    report.is_some_and(|report| report.status.is_final())
}

fn is_over(task: Option<&Task>) -> bool {
    matches!(task.map(|task| &task.state), None | Some(State::Over(_)))
}
