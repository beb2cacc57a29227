//! The launchers by their names, as configs and handles have them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::shim::{Report, Shim};
use crate::{
    Error, LaunchRecord, Launcher, ProcessLauncher, StateDir, command, kubernetes, slurm, systemd,
};

/// What each kind needs, beside the folder that all share.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The program above each replica; looked for when none ([`Shim::find`]).
    pub shim: Option<PathBuf>,
    /// Where `slurm` finds its commands.
    pub slurm: slurm::Config,
    /// Which cluster `kubernetes` means.
    pub kubernetes: kubernetes::Config,
    /// The programs of `command`.
    pub command: command::Config,
}

/// Makes launchers over one state folder.
#[derive(Debug, Clone)]
pub struct Launchers {
    state: StateDir,
    options: Options,
}

impl Launchers {
    /// All that there are.
    pub const NAMES: &[&str] = &["process", "systemd", "slurm", "kubernetes", "command"];

    /// Launchers that keep their launches in `state`.
    #[must_use]
    pub fn new(state: StateDir, options: Options) -> Self {
        Self { state, options }
    }

    /// The folder that they share.
    #[must_use]
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// When the last replica of a launch ended, as far as that is kept here; no engine is asked. None
    /// where one of them has not ended, or nobody has seen it do so.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn ended_at(&self, record: &LaunchRecord) -> Result<Option<SystemTime>, Error> {
        let mut last = 0;
        for handle in record.handles() {
            let folder = self.state.replica_folder(&handle.launch, handle.rank);
            let mut at = Report::read(&folder)?.and_then(|report| report.ended_at_ms);
            for kept in [slurm::ended_at_ms, kubernetes::ended_at_ms, command::ended_at_ms] {
                at = at.or(kept(&folder)?);
            }
            let Some(at) = at else { return Ok(None) };
            last = last.max(at);
        }
        Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_millis(last)))
    }

    /// The launcher of this name.
    ///
    /// # Errors
    /// [`Error::UnknownLauncher`] names the known, [`Error::Program`] where there is no shim.
    pub fn by_name(&self, name: &str) -> Result<Box<dyn Launcher>, Error> {
        let state = self.state.clone();
        let shim = || Shim::find(self.options.shim.as_deref());
        Ok(match name {
            "process" => Box::new(ProcessLauncher::new(state, shim()?)),
            "systemd" => {
                Box::new(systemd::SystemdLauncher::new(state, shim()?, systemd::Manager::usual()))
            }
            "slurm" => Box::new(slurm::Slurm::new(state, shim()?, self.options.slurm.clone())),
            "kubernetes" => {
                let config = self.options.kubernetes.clone();
                Box::new(kubernetes::Kubernetes::new(state, config))
            }
            "command" => {
                Box::new(command::CommandLauncher::new(state, self.options.command.clone()))
            }
            _ => {
                let name = name.to_owned();
                return Err(Error::UnknownLauncher { name, known: Self::NAMES.to_vec() });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LaunchId, LaunchSpec};

    #[test]
    fn a_launch_has_ended_when_its_last_replica_was_seen_to() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let launchers = Launchers::new(state.clone(), Options::default());
        let spec = LaunchSpec::new("job", 3, "true");
        let record = LaunchRecord::new(LaunchId::draw("job"), "process", &spec, "");
        state.create(&record, &[]).unwrap();
        let write = |rank, file: &str, json: serde_json::Value| {
            let path = state.replica_folder(&record.id, rank).join(file);
            std::fs::write(path, json.to_string()).unwrap();
        };
        let running = Report::begin(crate::shim::ProcessId::own().unwrap());
        for rank in 0..3 {
            running.write(&state.replica_folder(&record.id, rank)).unwrap();
        }
        assert_eq!(launchers.ended_at(&record).unwrap(), None);
        let ended = Report { ended_at_ms: Some(5000), ..running };
        ended.write(&state.replica_folder(&record.id, 0)).unwrap();
        write(1, "kubernetes.json", serde_json::json!({"ended_at_ms": 9000}));
        assert_eq!(launchers.ended_at(&record).unwrap(), None);
        let end = serde_json::json!({"status": "failed", "seen_at_ms": 7000});
        write(2, "slurm.json", serde_json::json!({"end": end}));
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        assert_eq!(launchers.ended_at(&record).unwrap(), Some(at));
    }

    #[test]
    fn launchers_are_had_by_name_and_an_unknown_one_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        let shim = Some(PathBuf::from("/bin/true"));
        let options = Options { shim, ..Options::default() };
        let launchers = Launchers::new(StateDir::new(folder.path()), options);
        for name in Launchers::NAMES {
            assert_eq!(launchers.by_name(name).unwrap().name(), *name);
        }
        let error = launchers.by_name("ray").err().unwrap().to_string();
        assert!(Launchers::NAMES.iter().all(|name| error.contains(name)), "{error}");
    }
}
