//! The programs of one launch, found and kept with it: whoever goes on with its handles calls those
//! that it was begun with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::{Call, Config, NAME};
use crate::state::{read_json, write_json};
use crate::{Error, LaunchId, StateDir, shim};

const FILE: &str = "programs.json";

/// Beyond the time of a launch: for its caller to keep what came of it.
const MARGIN: Duration = Duration::from_secs(60);

/// What the calls of one launch run: a config in which each of the five has its own program, by its
/// whole path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Programs {
    pub(super) config: Config,
}

impl Programs {
    /// Finds all five, before anything is asked of one.
    pub(super) fn find(config: &Config) -> Result<Self, Error> {
        let wrong = |field, remedy: &str| {
            let remedy = remedy.to_owned();
            Err(Error::Spec { field, value: "0s".to_owned(), remedy })
        };
        if config.timeout.is_zero() {
            return wrong("command.timeout", "give a time above 0, as in 60s");
        }
        if config.launch_timeout.is_zero() {
            return wrong("command.launch_timeout", "give a time above 0, as in 10m");
        }
        if config.replica_folder.as_ref().is_some_and(|folder| !folder.starts_with('/')) {
            let value = format!("{:?}", config.replica_folder.as_deref().unwrap_or_default());
            let remedy = "give an absolute path, as in \"/var/tmp/hearth/{launch}/{rank}\"";
            let (field, remedy) = ("command.replica_folder", remedy.to_owned());
            return Err(Error::Spec { field, value, remedy });
        }
        let mut found = Config { programs: None, ..config.clone() };
        for call in Call::ALL {
            *found.argv_mut(call) = argv(config, call)?;
        }
        Ok(Self { config: found })
    }

    /// Those that a launch was begun with.
    pub(super) fn load(state: &StateDir, launch: &LaunchId) -> Result<Self, Error> {
        let path = state.launch_folder(launch).join(FILE);
        read_json(&path)?.ok_or_else(|| {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            Error::State { path, source }
        })
    }

    /// Keeps them in the launch's folder.
    pub(super) fn save(&self, state: &StateDir, launch: &LaunchId) -> Result<(), Error> {
        write_json(&state.launch_folder(launch).join(FILE), self)
    }

    /// The program of a call and its arguments.
    pub(super) fn argv(&self, call: Call) -> &[String] {
        self.config.argv(call)
    }

    /// A call's program as messages name it.
    pub(super) fn name(&self, call: Call) -> String {
        let program = self.argv(call).first().map(String::as_str).unwrap_or_default();
        format!("{} ({program})", call.name())
    }

    /// A replica's own folder, on the host that it runs on.
    pub(super) fn replica_folder(&self, state: &StateDir, launch: &LaunchId, rank: u32) -> PathBuf {
        match &self.config.replica_folder {
            None => state.replica_folder(launch, rank),
            Some(folder) => {
                let folder = folder.replace("{launch}", launch.as_str());
                PathBuf::from(folder.replace("{rank}", &rank.to_string()))
            }
        }
    }

    /// By when a launch has been answered and its answer kept, or was given up.
    pub(super) fn answered(&self) -> Duration {
        self.config.launch_timeout.saturating_add(MARGIN)
    }
}

fn argv(config: &Config, call: Call) -> Result<Vec<String>, Error> {
    let (program, args) = match (config.argv(call), &config.programs) {
        ([program, args @ ..], _) => (PathBuf::from(program), args),
        ([], Some(folder)) => (folder.join(call.name()), &[][..]),
        ([], None) => return Err(unnamed(call)),
    };
    let found = shim::find(&program, None)?;
    let unfit = |path: &Path| Error::Program {
        program: path.to_owned(),
        remedy: "its path is no UTF-8: move it".to_owned(),
    };
    let program = found.to_str().ok_or_else(|| unfit(&found))?.to_owned();
    Ok(std::iter::once(program).chain(args.iter().cloned()).collect())
}

fn unnamed(call: Call) -> Error {
    let reason = format!(
        "no program is named for {}: give a folder that has launch, poll, logs, cancel and collect, \
         with --programs DIR, or as programs in [launcher.command] of hearth.toml",
        call.name()
    );
    Error::ManagerAbsent { launcher: NAME, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_five_programs_are_found_or_the_lacking_one_is_named() {
        let sh = || vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()];
        let mut config = Config {
            launch: sh(),
            poll: sh(),
            logs: sh(),
            cancel: sh(),
            replica_folder: Some("/far/{launch}/{rank}".to_owned()),
            ..Config::default()
        };
        let error = Programs::find(&config).unwrap_err().to_string();
        assert!(error.contains("collect") && error.contains("--programs"), "{error}");
        config.programs = Some(PathBuf::from("/no/such/folder"));
        let error = Programs::find(&config).unwrap_err().to_string();
        assert!(error.contains("/no/such/folder/collect"), "{error}");
        config.collect = sh();
        let programs = Programs::find(&config).unwrap();
        assert!(programs.argv(Call::Poll)[0].ends_with("/sh"), "{programs:?}");
        assert_eq!(programs.argv(Call::Poll)[1..], ["-c", "true"]);
        let (state, launch) = (StateDir::new("/here"), LaunchId::draw("job"));
        let folder = programs.replica_folder(&state, &launch, 7);
        assert_eq!(folder, PathBuf::from(format!("/far/{launch}/7")));
        config.replica_folder = Some("far".to_owned());
        assert!(Programs::find(&config).unwrap_err().to_string().contains("absolute"));
        config.replica_folder = None;
        let folder = Programs::find(&config).unwrap().replica_folder(&state, &launch, 7);
        assert_eq!(folder, state.replica_folder(&launch, 7));
        config.timeout = Duration::ZERO;
        assert!(Programs::find(&config).unwrap_err().to_string().contains("command.timeout"));
    }
}
