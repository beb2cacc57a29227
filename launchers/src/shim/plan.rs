//! `plan.json`: what a shim is to run, and for how long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ProcessId;
use crate::state::{read_json, write_json};
use crate::{Error, LaunchRecord, Owner, RESULT_VARIABLE, StateDir};

const PLAN: &str = "plan.json";
const LOG: &str = "log";
/// Bytes of one file of the log, and how many there are: 32 MiB for a replica.
const LOG_BYTES: u64 = 16 << 20;
const LOG_FILES: u32 = 2;

/// What a shim finds in its replica's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The program; a name without `/` is looked up on PATH where the shim runs.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beside those that the shim has itself: the rank and the result's file are here.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub working_dir: PathBuf,
    /// Time that it may run.
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
    /// Time between being asked to end and being killed.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Whose end is the replica's too.
    pub binding: Binding,
    /// Where its output goes.
    pub log: Log,
    /// The cores that it may run on, by number; all when empty.
    pub cores: Vec<usize>,
    /// Whether the shim leaves the session that it was started in, so that a terminal's end does
    /// not reach it. An engine that keeps account of its processes by session wants that not.
    pub own_session: bool,
}

/// Whose end is the replica's too. It then ends within 2 s.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// Nobody's.
    #[default]
    None,
    /// That of whoever holds the other end of the shim's standard input.
    Stdin,
    /// That of a process of the same host.
    Process(ProcessId),
}

/// Where a program's standard output and error go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// Where the shim's own go: a journal, a job's file.
    Inherit,
    /// Into files of bounded size: `path`, and `path.1` and so on with what is older.
    File {
        /// The newest file.
        path: PathBuf,
        /// Bytes of one file, at most.
        max_bytes: u64,
        /// Files, with the newest.
        files: u32,
        /// Whether it goes where the shim's own goes as well, such as a journal.
        #[serde(default)]
        echo: bool,
    },
}

impl Log {
    /// Files of a usual size in the replica's folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        let path = folder.join(LOG);
        Self::File { path, max_bytes: LOG_BYTES, files: LOG_FILES, echo: false }
    }
}

impl Plan {
    /// What a launch's record says of one replica: no core chosen, a log in its folder, a session
    /// of its own; bound to the shim's standard input where the spec has an owner.
    #[must_use]
    pub fn new(record: &LaunchRecord, rank: u32, state: &StateDir) -> Self {
        let spec = &record.spec;
        let folder = state.replica_folder(&record.id, rank);
        let files = state.files_folder(&record.id, rank);
        let mut env = spec.env_of(rank, &files, &folder);
        let result = state.result_file(&record.id, rank);
        env.insert(RESULT_VARIABLE.to_owned(), result.to_string_lossy().into_owned());
        Self {
            program: spec.program.clone(),
            args: spec.args_of(rank, &files, &folder),
            env,
            working_dir: spec.working_dir.clone().unwrap_or_else(|| folder.clone()),
            timeout: spec.timeout,
            grace: spec.grace,
            binding: match spec.owner {
                Owner::Nobody => Binding::None,
                Owner::Caller => Binding::Stdin,
            },
            log: Log::in_folder(&folder),
            cores: Vec::new(),
            own_session: true,
        }
    }

    /// Writes it into a replica's folder.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join(PLAN), self)
    }

    /// Reads that of a replica's folder; none where there is none.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        read_json(&folder.join(PLAN))
    }

    /// The file that names the result, which no other replica has in its environment.
    #[must_use]
    pub fn result(&self) -> Option<&str> {
        self.env.get(RESULT_VARIABLE).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LaunchId, LaunchSpec};

    #[test]
    fn a_plan_has_the_ranks_own_values_and_reads_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let mut spec = LaunchSpec::new("job", 2, "true");
        spec.args = vec!["--rank={rank}".to_owned(), "{files}/tls.key".to_owned()];
        spec.env.insert("HOME".to_owned(), "{folder}".to_owned());
        spec.rank_variable = "MY_RANK".to_owned();
        let record = LaunchRecord::new(LaunchId::draw("job"), "process", &spec, "");
        state.create(&record, &[]).unwrap();
        let own = state.replica_folder(&record.id, 1);
        let plan = Plan::new(&record, 1, &state);
        assert_eq!(plan.args, ["--rank=1".to_owned(), format!("{}/files/tls.key", own.display())]);
        assert_eq!(plan.env["HOME"], own.display().to_string());
        assert_eq!(plan.env["MY_RANK"], "1");
        assert_eq!(plan.result(), state.result_file(&record.id, 1).to_str());
        plan.write(&own).unwrap();
        assert_eq!(Plan::read(&own).unwrap(), Some(plan));
    }
}
