//! A replica that is asked for, and what is kept of it beside its shim's report.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::queue::{State, Task};
use super::submit;
use crate::shim::Report;
use crate::state::{now_ms, read_json, write_json};
use crate::{Error, Handle, LaunchRecord, Replica, Status};

const FILE: &str = "slurm.json";

/// A replica that is asked for.
#[derive(Debug, Clone)]
pub(super) struct ReplicaJob {
    pub(super) handle: Handle,
    pub(super) record: LaunchRecord,
    /// The array job that has it; none where its launch was broken off before Slurm's answer was
    /// kept, and Slurm has no job of its name.
    pub(super) job: Option<u32>,
    pub(super) folder: PathBuf,
}

/// What is kept of a replica.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// Somebody asked for its end.
    pub(super) cancelled: bool,
    /// How it ended by Slurm's word, which forgets it some minutes later.
    pub(super) end: Option<End>,
}

/// How a replica ended whose shim did not say so.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct End {
    status: Status,
    host: Option<String>,
    error: Option<String>,
    /// When that was seen first, in milliseconds since 1970.
    pub(super) seen_at_ms: u64,
}

impl Memory {
    pub(super) fn load(folder: &Path) -> Result<Self, Error> {
        Ok(read_json(&folder.join(FILE))?.unwrap_or_default())
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join(FILE), self)
    }
}

impl ReplicaJob {
    /// A replica whose shim has said how it ended. A task that began while it was cancelled is
    /// ended by Slurm, and then its shim may not know why.
    pub(super) fn with_end(&self, report: &Report, memory: &Memory) -> Replica {
        let replica = report.replica(self.handle.rank);
        if replica.status == Status::Failed && memory.cancelled {
            return Replica { status: Status::Cancelled, error: None, ..replica };
        }
        replica
    }

    /// A replica whose shim has not said how it ended. What Slurm says of an end is kept.
    pub(super) fn without_end(
        &self,
        report: Option<&Report>,
        task: Option<&Task>,
        memory: Memory,
    ) -> Result<Replica, Error> {
        let rank = self.handle.rank;
        if let Some(End { status, host, error, .. }) = memory.end {
            return Ok(Replica { status, host, error, ..Replica::pending(rank) });
        }
        let host = task.and_then(|task| task.host.clone());
        let pending = Replica { host, ..Replica::pending(rank) };
        let reported = report.map_or(pending, |report| report.replica(rank));
        let ended = |status, error: Option<String>| Replica { status, error, ..reported.clone() };
        let replica = match task.map(|task| &task.state) {
            Some(State::Waits(reason)) => ended(Status::Pending, reason.clone()),
            Some(State::Runs | State::Clears) => reported,
            Some(State::Cancelled) => ended(Status::Cancelled, None),
            _ if memory.cancelled => ended(Status::Cancelled, None),
            Some(State::Over(why)) => ended(Status::Failed, Some(self.with_task_log(why))),
            // Slurm's answer to its launch may come yet.
            None if self.job.is_none() && self.record.age() < submit::ANSWERED => reported,
            None if self.job.is_none() => {
                let why = "its launch was broken off, and Slurm has no job of its name";
                ended(Status::Failed, Some(self.with_task_log(why)))
            }
            None => {
                let why = "Slurm no longer knows it, and its shim left no report: its node failed, \
                           or does not share the state folder";
                ended(Status::Failed, Some(self.with_task_log(why)))
            }
        };
        if replica.status.is_final() && task.is_some() {
            let Replica { status, host, error, .. } = replica.clone();
            let end = End { status, host, error, seen_at_ms: now_ms() };
            Memory { end: Some(end), ..memory }.save(&self.folder)?;
        }
        Ok(replica)
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
}
