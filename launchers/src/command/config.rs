//! Which programs are the launcher's, and how long they may take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The launcher's name.
pub(super) const NAME: &str = "command";

/// What is asked of the user's programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Launch,
    Poll,
    Logs,
    Cancel,
    Collect,
}

impl Call {
    pub(super) const ALL: [Self; 5] =
        [Self::Launch, Self::Poll, Self::Logs, Self::Cancel, Self::Collect];

    /// Its name, which is its program's in the folder of programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Poll => "poll",
            Self::Logs => "logs",
            Self::Cancel => "cancel",
            Self::Collect => "collect",
        }
    }
}

/// The five programs: `[launcher.command]` of `hearth.toml`, `[executor.command]` of a
/// coordinator's config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder that has `launch`, `poll`, `logs`, `cancel` and `collect`.
    pub programs: Option<PathBuf>,
    /// The program that launches, with its arguments, in place of the folder's; so with the others.
    pub launch: Vec<String>,
    /// The program that says where replicas are.
    pub poll: Vec<String>,
    /// The program that prints a replica's output.
    pub logs: Vec<String>,
    /// The program that ends replicas.
    pub cancel: Vec<String>,
    /// The program that prints a replica's result.
    pub collect: Vec<String>,
    /// Variables for them beside the caller's. They are kept with each launch.
    pub env: BTreeMap<String, String>,
    /// Where a replica's own folder is on the host that it runs on; `{launch}` and `{rank}` are
    /// replaced. The path that it has here when none.
    pub replica_folder: Option<String>,
    /// Time that one call may take; a log that is followed may be silent for longer.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Time that a launch may take.
    #[serde(with = "humantime_serde")]
    pub launch_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            programs: None,
            launch: Vec::new(),
            poll: Vec::new(),
            logs: Vec::new(),
            cancel: Vec::new(),
            collect: Vec::new(),
            env: BTreeMap::new(),
            replica_folder: None,
            timeout: Duration::from_secs(60),
            launch_timeout: Duration::from_secs(10 * 60),
        }
    }
}

impl Config {
    /// The same with all five programs those of a folder.
    #[must_use]
    pub fn in_folder(mut self, programs: impl Into<PathBuf>) -> Self {
        self.programs = Some(programs.into());
        for call in Call::ALL {
            self.argv_mut(call).clear();
        }
        self
    }

    /// The same with relative paths taken from this folder, as a config file means them. A bare
    /// name is looked up on PATH, and stays.
    #[must_use]
    pub fn beside(mut self, folder: &Path) -> Self {
        self.programs = self.programs.map(|path| folder.join(path));
        for call in Call::ALL {
            let program = self.argv_mut(call).first_mut();
            if let Some(program) = program.filter(|program| program.contains('/')) {
                *program = folder.join(&*program).to_string_lossy().into_owned();
            }
        }
        self
    }

    /// The program of a call and its arguments, as they were given.
    pub(super) fn argv(&self, call: Call) -> &[String] {
        match call {
            Call::Launch => &self.launch,
            Call::Poll => &self.poll,
            Call::Logs => &self.logs,
            Call::Cancel => &self.cancel,
            Call::Collect => &self.collect,
        }
    }

    pub(super) fn argv_mut(&mut self, call: Call) -> &mut Vec<String> {
        match call {
            Call::Launch => &mut self.launch,
            Call::Poll => &mut self.poll,
            Call::Logs => &mut self.logs,
            Call::Cancel => &mut self.cancel,
            Call::Collect => &mut self.collect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_the_config_files() {
        let config = Config {
            launch: vec!["./launch.py".to_owned(), "a/b".to_owned()],
            poll: vec!["poll".to_owned()],
            programs: Some(PathBuf::from("ssh")),
            ..Config::default()
        };
        let config = config.beside(Path::new("/etc/hearth"));
        assert_eq!(config.programs.as_deref(), Some(Path::new("/etc/hearth/ssh")));
        assert_eq!(config.launch, ["/etc/hearth/./launch.py", "a/b"]);
        assert_eq!(config.poll, ["poll"]);
    }
}
