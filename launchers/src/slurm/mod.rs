//! Replicas as the tasks of a Slurm job array, one array for each launch.
//!
//! A task is a shim on its replica's folder; what the shim reports is what counts, so accounting
//! may be absent. Slurm itself is asked where the shim says nothing: before it starts, and when it
//! vanished. The state folder has to lie on a file system that the submitting host and the nodes
//! share, at the same path; so do `hearth` and the program.

mod cancel;
mod command;
mod config;
mod queue;
mod replica_job;
mod submission;
mod submit;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::collect::{self, Pace};
use crate::draft::Draft;
use crate::shim::{self, Log, Plan, Report, Shim};
use crate::{
    Capabilities, Error, Handle, LaunchRecord, LaunchSpec, Launcher, LogLines, LogOptions, Outcome,
    Replica, StateDir, logs,
};
pub use config::Config;

use config::NAME;
use queue::{State, Task, Tasks};
use replica_job::{Memory, ReplicaJob};
use submission::Submission;

/// The batch script, in the launch's folder.
const SCRIPT_FILE: &str = "batch.sh";

/// How often Slurm's controller, which is everybody's, is asked for what is waited for.
const PACE: Pace = Pace { first: Duration::from_millis(200), last: Duration::from_secs(5) };
/// Looks at a followed replica's report for one question to the controller.
const LOOKS_A_QUESTION: u32 = 50;

/// How often, at this distance, a report is looked for once its task is over: on a network file
/// system it may come to sight late.
const LATE_REPORT_LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(100);

/// Launches through Slurm's `sbatch`, `squeue` and `scancel` (20.11 or newer).
#[derive(Debug, Clone)]
pub struct Slurm {
    state: StateDir,
    shim: Shim,
    config: Config,
}

impl Slurm {
    /// A launcher that keeps its launches in `state`, with `shim` above each replica.
    #[must_use]
    pub fn new(state: StateDir, shim: Shim, config: Config) -> Self {
        Self { state, shim, config }
    }

    async fn known(&self, handles: &[Handle]) -> Result<Vec<ReplicaJob>, Error> {
        let mut launches = self.state.launches_of(NAME, handles)?;
        let mut jobs = BTreeMap::new();
        for record in launches.values_mut() {
            jobs.insert(record.id.clone(), self.job_of(record).await?);
        }
        let known = |handle: &Handle| {
            let record = launches.get(&handle.launch)?.clone();
            let job = jobs.get(&handle.launch).copied().flatten();
            let folder = self.state.replica_folder(&handle.launch, handle.rank);
            Some(ReplicaJob { handle: handle.clone(), record, job, folder })
        };
        Ok(handles.iter().filter_map(known).collect())
    }

    /// A launch's job. Where its number was not kept, since its launch was broken off, it is looked
    /// for by its name, which no other has.
    async fn job_of(&self, record: &mut LaunchRecord) -> Result<Option<u32>, Error> {
        if let Ok(job) = record.native.parse() {
            return Ok(Some(job));
        }
        let folder = |handle: Handle| self.state.replica_folder(&handle.launch, handle.rank);
        let report = |handle| Report::read(&folder(handle)).ok().flatten();
        if record.handles().map(report).all(|report| is_final(report.as_ref())) {
            return Ok(None);
        }
        let name = format!("--name={}", record.id);
        let args = ["--noheader", "--states=all", "--format=%F", &name].map(OsString::from);
        let said = command::output(&self.config, "squeue", args).await?;
        let job = said.lines().find_map(|line| line.trim().parse::<u32>().ok());
        if let Some(job) = job {
            record.native = job.to_string();
            self.state.save(record)?;
        }
        Ok(job)
    }

    /// Writes what its tasks will find.
    fn prepare(&self, record: &LaunchRecord) -> Result<(), Error> {
        for rank in 0..record.spec.replicas {
            let mut plan = Plan::new(record, rank, &self.state);
            // Slurm finds a task's processes by their session.
            plan.own_session = false;
            plan.write(&self.state.replica_folder(&record.id, rank))?;
        }
        let script = self.state.launch_folder(&record.id).join(SCRIPT_FILE);
        fs::write(&script, submit::SCRIPT)
            .map_err(|source| Error::State { path: script.clone(), source })
    }

    /// The job's number, or Slurm's refusal. With an error it is not known whether there is a job.
    async fn submit(&self, record: &LaunchRecord) -> Result<Result<u32, Error>, Error> {
        let folder = self.state.launch_folder(&record.id);
        let (script, shim) = (folder.join(SCRIPT_FILE), self.shim.program());
        let args = submit::arguments(&record.id, &record.spec, &folder, &script, shim);
        let said = match command::run(&self.config, "sbatch", args).await {
            Ok(Ok(said)) => said,
            Ok(Err(refusal)) => {
                let refused = command::manager(format!("sbatch: {}", refusal.said));
                return match refusal.said.contains("timed out") {
                    true => Err(refused),
                    false => Ok(Err(refused)),
                };
            }
            Err(absent @ Error::ManagerAbsent { .. }) => return Ok(Err(absent)),
            Err(error) => return Err(error),
        };
        // `JOB`, or `JOB;CLUSTER` where there are several.
        let job = said.trim().split(';').next().unwrap_or_default();
        let unnamed = |_| command::manager(format!("sbatch named no job: {:?}", said.trim()));
        job.parse().map(Ok).map_err(unnamed)
    }

    /// Ends a job that there may be. Where that fails too the launch is kept, so that it can be
    /// ended later. Returns why it failed.
    async fn give_up(&self, record: &LaunchRecord, error: Error) -> Error {
        match self.scancel_by_name(record).await {
            Ok(()) => {
                let removed = self.state.remove(&record.id);
                removed.err().unwrap_or(error)
            }
            Err(_) => command::manager(format!(
                "{error}; should Slurm have taken it all the same, hearth replicas cancel \
                 {NAME}/{} ends it",
                record.id
            )),
        }
    }

    /// The tasks of all these replicas' jobs, by one question.
    async fn ask(&self, known: &[&ReplicaJob]) -> Result<Tasks, Error> {
        let jobs: BTreeSet<u32> = known.iter().filter_map(|known| known.job).collect();
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
            Err(refusal) if refusal.is_gone() => Ok(Tasks::new()),
            Err(refusal) => Err(command::manager(format!("squeue: {}", refusal.said))),
        }
    }

    /// Where the replicas are: what their shims report, and of the others what Slurm says.
    async fn look(&self, known: &[ReplicaJob]) -> Result<Vec<Replica>, Error> {
        let mut reports = read(known)?;
        let memories = known.iter().map(|known| Memory::load(&known.folder));
        let memories = memories.collect::<Result<Vec<_>, _>>()?;
        let open: Vec<&ReplicaJob> = known
            .iter()
            .zip(&reports)
            .zip(&memories)
            .filter(|((_, report), memory)| !is_final(report.as_ref()) && memory.end.is_none())
            .map(|((known, _), _)| known)
            .collect();
        let tasks = self.ask(&open).await?;
        let task_of = |known: &ReplicaJob| tasks.get(&(known.job?, known.handle.rank));
        let over: Vec<&ReplicaJob> = open
            .into_iter()
            .filter(|known| known.job.is_some() && is_over(task_of(known)))
            .collect();
        for _ in 0..LATE_REPORT_LOOKS {
            let late = |known: &&ReplicaJob| {
                !Report::read(&known.folder).is_ok_and(|report| is_final(report.as_ref()))
            };
            if !over.iter().any(late) {
                break;
            }
            sleep(LOOK).await;
        }
        if !over.is_empty() {
            reports = read(known)?;
        }
        let seen = |((known, report), memory): ((&ReplicaJob, Option<Report>), Memory)| match report
        {
            Some(report) if is_final(Some(&report)) => Ok(known.with_end(&report, &memory)),
            report => known.without_end(report.as_ref(), task_of(known), memory),
        };
        known.iter().zip(reports).zip(memories).map(seen).collect()
    }

    /// Whether a followed replica has ended. Its report says so at once; Slurm is asked now and
    /// then, should there never be one.
    async fn has_ended(&self, known: &ReplicaJob, looks: &AtomicU32) -> bool {
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
        let mut draft = Draft::new(&self.state, &record.id);
        self.state.create(&record, &spec.files)?;
        self.prepare(&record)?;
        // From here on there may be a job, whatever comes back.
        draft.keep();
        let submission = Submission::begin(&self.state, &record);
        let refused = match self.submit(&record).await {
            Ok(Ok(job)) => {
                record.native = job.to_string();
                match self.state.save(&record) {
                    Ok(()) => {
                        submission.over();
                        return Ok(record.handles().collect());
                    }
                    Err(error) => error,
                }
            }
            Ok(Err(refused)) => {
                submission.over();
                self.state.remove(&record.id)?;
                return Err(refused);
            }
            Err(error) => error,
        };
        drop(submission);
        Err(self.give_up(&record, refused).await)
    }

    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
        self.look(&self.known(handles).await?).await
    }

    async fn logs(&self, handle: &Handle, options: LogOptions) -> Result<LogLines, Error> {
        let known = self.known(std::slice::from_ref(handle)).await?.remove(0);
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
        self.cancel_known(&self.known(handles).await?).await
    }

    async fn collect(
        &self,
        handles: &[Handle],
        timeout: Option<Duration>,
    ) -> Result<Vec<Outcome>, Error> {
        collect::outcomes(self, &self.state, handles, timeout, PACE).await
    }
}

/// When a replica was seen to have ended by Slurm's word, in milliseconds since 1970; none where its
/// shim said so itself, or nobody has looked.
pub(crate) fn ended_at_ms(folder: &Path) -> Result<Option<u64>, Error> {
    Ok(Memory::load(folder)?.end.map(|end| end.seen_at_ms))
}

fn read(known: &[ReplicaJob]) -> Result<Vec<Option<Report>>, Error> {
    known.iter().map(|known| Report::read(&known.folder)).collect()
}

fn is_final(report: Option<&Report>) -> bool {
    report.is_some_and(|report| report.status.is_final())
}

fn is_over(task: Option<&Task>) -> bool {
    matches!(task.map(|task| &task.state), None | Some(State::Over(_)))
}
