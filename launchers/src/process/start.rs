//! Starts all replicas of a launch, or leaves none.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep};

use super::error::failed;
use crate::draft::Draft;
use crate::shim::{ProcessId, Report, Shim};
use crate::{Error, LaunchRecord, Owner, RESULT_VARIABLE, StateDir};

/// Where a shim writes why it could not begin.
const ERRORS: &str = "shim.log";
/// How long a shim may take to begin on a loaded machine.
pub(super) const BEGIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(3);

/// The shims of one launch. Unless [`Startup::keep`] is called, dropping it ends them and removes
/// everything that was written for the launch, also when a launch is given up in the middle.
pub(super) struct Startup<'a> {
    shims: Vec<ShimProcess>,
    /// Dropped after the shims were ended.
    draft: Draft<'a>,
}

struct ShimProcess {
    folder: PathBuf,
    child: Child,
    id: Option<ProcessId>,
}

impl<'a> Startup<'a> {
    pub(super) fn new(state: &'a StateDir, record: &LaunchRecord) -> Self {
        Self { shims: Vec::new(), draft: Draft::new(state, &record.id) }
    }

    /// Starts the shim of the replica in this folder; returns the pipe whose closing ends it.
    pub(super) fn start(
        &mut self,
        shim: &Shim,
        folder: &Path,
        owner: Owner,
    ) -> Result<Option<ChildStdin>, Error> {
        let state = |source| Error::State { path: folder.to_owned(), source };
        let errors = File::create(folder.join(ERRORS)).map_err(state)?;
        let stdin = match owner {
            Owner::Nobody => Stdio::null(),
            Owner::Caller => Stdio::piped(),
        };
        let mut command = Command::new(shim.program());
        command.args(Shim::args(folder)).current_dir(folder).stdin(stdin);
        command.stdout(Stdio::null()).stderr(errors);
        // If the caller is a replica itself, its result file is not theirs.
        command.env_remove(RESULT_VARIABLE);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Error::Program {
                program: shim.program().to_owned(),
                remedy: format!("replicas run under it, and it can't be started: {error}"),
            },
            // A system that is short of memory or processes may recover.
            _ => failed(&format!("a shim can't be started: {error}")),
        })?;
        let lifeline = child.stdin.take();
        let id = child.id().and_then(ProcessId::of);
        self.shims.push(ShimProcess { folder: folder.to_owned(), child, id });
        Ok(lifeline)
    }

    /// Waits until each shim has started its program or reported why it could not.
    pub(super) async fn wait_for_programs(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + BEGIN;
        for started in &mut self.shims {
            while !started.has_begun()? {
                if Instant::now() >= deadline {
                    return Err(failed("a shim has not begun in 30 s"));
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// All are running: from here on they are on their own.
    pub(super) fn keep(mut self) {
        self.shims.clear();
        self.draft.keep();
    }
}

impl ShimProcess {
    fn has_begun(&mut self) -> Result<bool, Error> {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
        let report = Report::read(&self.folder)?;
        let begun = report.is_some_and(|r| r.program.is_some() || r.status.is_final());
        if begun || !ended {
            return Ok(begun);
        }
        let said = fs::read_to_string(self.folder.join(ERRORS)).unwrap_or_default();
        let said = said.trim().trim_start_matches("error: ");
        Err(failed(if said.is_empty() { "a shim ended without saying why" } else { said }))
    }
}

impl Drop for Startup<'_> {
    fn drop(&mut self) {
        for started in &self.shims {
            if let Some(id) = &started.id {
                id.signal(Signal::KILL);
            }
            // The guard does this too; here it is done before the folder is removed.
            let report = Report::read(&started.folder).ok().flatten();
            let program = report.and_then(|report| report.program);
            crate::shim::clear(&started.folder, program.as_ref());
        }
    }
}
