//! The launchers by their names, as configs and handles have them.

use std::path::PathBuf;

use crate::shim::Shim;
use crate::{Error, Launcher, ProcessLauncher, StateDir, kubernetes, slurm, systemd};

/// What each kind needs, beside the folder that all share.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The program above each replica; looked for when none ([`Shim::find`]).
    pub shim: Option<PathBuf>,
    /// Where `slurm` finds its commands.
    pub slurm: slurm::Config,
    /// Which cluster `kubernetes` means.
    pub kubernetes: kubernetes::Config,
}

/// Makes launchers over one state folder.
#[derive(Debug, Clone)]
pub struct Launchers {
    state: StateDir,
    options: Options,
}

impl Launchers {
    /// All that there are.
    pub const NAMES: &[&str] = &["process", "systemd", "slurm", "kubernetes"];

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
