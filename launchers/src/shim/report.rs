//! `status.json`: what a shim reports of its replica, for whoever polls.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ProcessId;
use crate::state::{now_ms, read_json, write_json};
use crate::{Error, Handle, Replica, Status};

const STATUS: &str = "status.json";

/// Where a replica is, as its shim wrote it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Where it is.
    pub status: Status,
    /// The shim.
    pub shim: ProcessId,
    /// The program, once it was started.
    pub program: Option<ProcessId>,
    /// The host that they run on.
    pub host: String,
    /// The program's exit status, where it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
    /// When the shim began, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// When all was over, in milliseconds since 1970.
    pub ended_at_ms: Option<u64>,
}

impl Report {
    /// What this process says as a shim before it has started its program.
    #[must_use]
    pub fn begin(shim: ProcessId) -> Self {
        Self {
            status: Status::Pending,
            shim,
            program: None,
            host: host_name(),
            exit_code: None,
            signal: None,
            error: None,
            started_at_ms: now_ms(),
            ended_at_ms: None,
        }
    }

    /// The same at its end.
    #[must_use]
    pub fn end(self, status: Status, error: Option<String>) -> Self {
        Self { status, error, ended_at_ms: Some(now_ms()), ..self }
    }

    /// Writes it into a replica's folder: a reader sees the one before or this one.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join(STATUS), self)
    }

    /// Reads that of a replica's folder as it was written; none where its shim has not begun.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        read_json(&folder.join(STATUS))
    }

    /// Whether its processes are this host's, and can be looked at.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.host == host_name()
    }

    /// Refuses what can only be done on the host of its processes.
    ///
    /// # Errors
    /// [`Error::Manager`] names the host.
    pub(crate) fn check_is_here(
        &self,
        launcher: &'static str,
        handle: &Handle,
    ) -> Result<(), Error> {
        if self.is_here() {
            return Ok(());
        }
        let reason = format!("{handle} runs on {}: cancel it there", self.host);
        Err(Error::Manager { launcher, reason })
    }

    /// Reads it as it is true on the shim's host: one that says it goes on while its shim is gone
    /// is a failure. One of another host, over a shared folder, is taken at its word.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn read_here(folder: &Path) -> Result<Option<Self>, Error> {
        let Some(report) = Self::read(folder)? else { return Ok(None) };
        if report.status.is_final() || !report.is_here() || report.shim.runs() {
            return Ok(Some(report));
        }
        // It may have ended normally in between.
        let again = Self::read(folder)?.filter(|report| report.status.is_final());
        Ok(Some(again.unwrap_or_else(|| report.lost())))
    }

    /// The same with its shim gone before it had said how the replica ended.
    #[must_use]
    pub fn lost(self) -> Self {
        let error = format!("its shim (pid {}) was killed", self.shim.pid);
        self.end(Status::Failed, Some(error))
    }

    /// The replica of which it is the report.
    #[must_use]
    pub fn replica(&self, rank: u32) -> Replica {
        Replica {
            rank,
            status: self.status,
            pid: self.program.as_ref().map(|program| program.pid),
            host: Some(self.host.clone()),
            exit_code: self.exit_code,
            error: self.error.clone(),
        }
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_whose_shim_is_gone_reads_as_failed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Report::read_here(folder.path()).unwrap(), None);
        let own = ProcessId::own().unwrap();
        let running = Report { status: Status::Running, ..Report::begin(own.clone()) };
        running.write(folder.path()).unwrap();
        assert_eq!(Report::read_here(folder.path()).unwrap(), Some(running.clone()));
        let gone = ProcessId { started: own.started + 1, ..own };
        Report { shim: gone.clone(), ..running.clone() }.write(folder.path()).unwrap();
        let replica = Report::read_here(folder.path()).unwrap().unwrap().replica(3);
        assert_eq!((replica.rank, replica.status), (3, Status::Failed));
        assert!(replica.error.unwrap().contains("shim"));
        let elsewhere =
            Report { host: "another".to_owned(), shim: gone.clone(), ..running.clone() };
        elsewhere.write(folder.path()).unwrap();
        assert_eq!(Report::read_here(folder.path()).unwrap(), Some(elsewhere));
        let ended = Report { shim: gone, ..running }.end(Status::Succeeded, None);
        ended.write(folder.path()).unwrap();
        assert_eq!(Report::read_here(folder.path()).unwrap(), Some(ended));
    }
}
