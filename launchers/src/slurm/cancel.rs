//! Ends tasks: those that wait by removing them, those that run through their shims.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{LOOK, Memory, ReplicaJob, Slurm, Task, command, queue, submission};
use crate::{Error, LaunchRecord};

/// What a shim and Slurm may take beyond the replica's grace, before Slurm kills what is left.
const MARGIN: Duration = Duration::from_secs(5);
/// What Slurm may take for that: its `KillWait` is 30 s unless configured.
const FIRM: Duration = Duration::from_secs(90);
/// Time between two questions to Slurm's controller.
const ASK: Duration = Duration::from_secs(1);

impl Slurm {
    pub(super) async fn cancel_known(&self, known: &[ReplicaJob]) -> Result<(), Error> {
        self.cancel_unplaced(known).await?;
        let open = self.open(known).await?;
        for known in &open {
            Memory { cancelled: true, end: None }.save(&known.folder)?;
        }
        let open: Vec<ReplicaJob> = open.into_iter().filter(|known| known.job.is_some()).collect();
        let grace = open.iter().map(|known| known.record.spec.grace).max().unwrap_or_default();
        self.ask_to_end(&open).await?;
        // One that began to run in between heard nothing; others may be asked twice.
        let left = self.see_them_end(open, grace.min(ASK)).await?;
        self.ask_to_end(&left).await?;
        let left = self.see_them_end(left, grace + MARGIN).await?;
        self.scancel(&left, &[]).await?;
        let left = self.see_them_end(left, FIRM).await?;
        match left.first() {
            None => Ok(()),
            Some(known) => {
                let reason = format!(
                    "{} doesn't end; see its node (squeue --name={})",
                    known.handle, known.record.id
                );
                Err(command::manager(reason))
            }
        }
    }

    /// A task that waits is removed. One that runs goes on: the signal is for the batch shell,
    /// which is its shim, and not for the program, which the shim asks by itself.
    async fn ask_to_end(&self, known: &[ReplicaJob]) -> Result<(), Error> {
        let removed = self.scancel(known, &["--state=PENDING"]).await;
        // Those that run are asked all the same.
        let asked = self.scancel(known, &["--batch", "--signal=TERM", "--state=RUNNING"]).await;
        removed.and(asked)
    }

    /// Of a launch that was broken off there may be a job that nobody has seen: it is ended as a
    /// whole, and should Slurm take it only now, its tasks find nothing to do.
    async fn cancel_unplaced(&self, known: &[ReplicaJob]) -> Result<(), Error> {
        let unplaced = known.iter().filter(|known| known.job.is_none());
        let records: BTreeMap<_, _> = unplaced.map(|k| (&k.record.id, &k.record)).collect();
        for record in records.into_values() {
            submission::mark(&self.state, record);
            self.scancel_by_name(record).await?;
        }
        Ok(())
    }

    pub(super) async fn scancel_by_name(&self, record: &LaunchRecord) -> Result<(), Error> {
        let name = format!("--name={}", record.id);
        command::cancel(&self.config, [OsString::from(name)]).await
    }

    async fn open(&self, known: &[ReplicaJob]) -> Result<Vec<ReplicaJob>, Error> {
        let seen = self.look(known).await?;
        let open = known.iter().zip(seen).filter(|(_, seen)| !seen.status.is_final());
        Ok(open.map(|(known, _)| known.clone()).collect())
    }

    /// Those that have not ended, or that have by their shims' word while Slurm still has their
    /// tasks run: a cancel is over when nobody finds them any more.
    async fn left(&self, known: &[ReplicaJob]) -> Result<Vec<ReplicaJob>, Error> {
        let seen = self.look(known).await?;
        let (ended, left): (Vec<_>, Vec<_>) =
            known.iter().zip(seen).partition(|(_, seen)| seen.status.is_final());
        let ended: Vec<&ReplicaJob> = ended.into_iter().map(|(known, _)| known).collect();
        let tasks = self.ask(&ended).await?;
        let is_open = |known: &&ReplicaJob| {
            let task = known.job.and_then(|job| tasks.get(&(job, known.handle.rank)));
            task.is_some_and(Task::is_open)
        };
        let held = ended.into_iter().filter(is_open);
        Ok(left.into_iter().map(|(known, _)| known).chain(held).cloned().collect())
    }

    /// Waits, and returns those that are left.
    async fn see_them_end(
        &self,
        mut open: Vec<ReplicaJob>,
        limit: Duration,
    ) -> Result<Vec<ReplicaJob>, Error> {
        let (started, mut pause) = (Instant::now(), LOOK);
        while !open.is_empty() && started.elapsed() < limit {
            sleep(pause).await;
            pause = (pause * 2).min(ASK);
            match self.left(&open).await {
                Ok(left) => open = left,
                // A controller that is away for a moment is asked again.
                Err(Error::Manager { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(open)
    }

    /// One `scancel` for all.
    async fn scancel(&self, known: &[ReplicaJob], options: &[&str]) -> Result<(), Error> {
        let mut jobs = BTreeMap::<u32, Vec<u32>>::new();
        for known in known {
            if let Some(job) = known.job {
                jobs.entry(job).or_default().push(known.handle.rank);
            }
        }
        if jobs.is_empty() {
            return Ok(());
        }
        let mut args: Vec<OsString> = options.iter().map(OsString::from).collect();
        for (job, mut ranks) in jobs {
            ranks.sort_unstable();
            args.push(format!("{job}_[{}]", queue::ranges(&ranks)).into());
        }
        command::cancel(&self.config, args).await
    }
}
