//! An engine's config: which executor, over which registry, with which certificate and bounds.
//!
//! A coordinator's file serves an embedding program too: the sections that are the daemon's alone
//! (`http`, `log`) are passed over.

mod backend;
mod executor;
mod size;
mod start;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use backend::{
    CustomSection, ExecutorBackend, ExternalSection, LaunchedSection, MpSection, OwnedSection,
};
pub use executor::{ExecutorSection, GpuWish, KubernetesSection, PlacementSection, Workers};
pub use hearth_base::config::Error as ConfigError;
pub use hearth_fabric::config::{RegistrySection, TlsSection};
pub use size::Size;

use hearth_base::config;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{Backends, known_as};

/// All that an engine is told at its start.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "File")]
pub struct Config {
    /// How workers are reached.
    pub executor: ExecutorSection,
    /// Where they are found. Without it, an engine that owns its workers has a private one.
    pub registry: Option<RegistrySection>,
    /// The engine's certificate. Without it, an engine that owns its workers issues one.
    pub tls: Option<TlsSection>,
    /// Bounds on requests.
    pub requests: RequestsSection,
}

/// A config as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    executor: ExecutorSection,
    registry: Option<RegistrySection>,
    tls: Option<TlsSection>,
    requests: RequestsSection,
    #[serde(rename = "http")]
    _http: IgnoredAny,
    #[serde(rename = "log")]
    _log: IgnoredAny,
}

impl From<File> for Config {
    fn from(file: File) -> Self {
        let File { executor, registry, tls, requests, .. } = file;
        Self { executor, registry, tls, requests }
    }
}

/// `[requests]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestsSection {
    /// Time that a request may take when it does not say.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Requests under way at once.
    pub queue: usize,
}

impl Default for RequestsSection {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600), queue: 256 }
    }
}

const SECTIONS: [&str; 4] = ["executor", "registry", "tls", "requests"];

/// Most requests under way at once; each holds its items until it ends.
const MAX_QUEUE: usize = 65_536;

impl Config {
    /// Reads the config: the defaults, the file, and variables such as `HEARTH_REQUESTS__QUEUE`, each
    /// over the one before.
    ///
    /// # Errors
    /// [`ConfigError`] names the file or the key.
    pub fn load(file: Option<&Path>, backends: &Backends) -> Result<Self, ConfigError> {
        let loaded = config::load(file, &SECTIONS, config::NoOverrides {});
        let mut config: Self = loaded.map_err(known_as::explain)?;
        config.executor.take_names_of_environment()?;
        config.check(backends)?;
        Ok(config)
    }

    /// Reads the config of a program that embeds the engine: the defaults, then `text` (TOML).
    ///
    /// # Errors
    /// [`ConfigError`] names the key.
    pub fn parse(text: &str, backends: &Backends) -> Result<Self, ConfigError> {
        let config: Self = config::parse(text).map_err(known_as::explain)?;
        config.check(backends)?;
        Ok(config)
    }

    /// The folder of the engine's certificate; none where the engine issues its own.
    #[must_use]
    pub fn tls_dir(&self) -> Option<PathBuf> {
        match &self.tls {
            Some(tls) => Some(tls.dir.clone()),
            None if self.executor.owns_workers() => None,
            None => Some(TlsSection::default().dir),
        }
    }

    /// Checks what does not show in one key alone.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn check(&self, backends: &Backends) -> Result<(), ConfigError> {
        backends
            .check(&self.executor.backend)
            .map_err(|error| ConfigError::value("executor.backend", error))?;
        self.executor.check()?;
        if self.tls.is_some() && self.executor.owns_workers() {
            let reason = format!(
                "the backend {:?} makes no use of it: its engine has a fresh certificate at each \
                 start. Remove [tls], and name the folder of the authority that is to issue it in \
                 executor.authority",
                self.executor.backend
            );
            return Err(ConfigError::value("tls", reason));
        }
        if !(1..=MAX_QUEUE).contains(&self.requests.queue) {
            let reason = format!("give 1 to {MAX_QUEUE}");
            return Err(ConfigError::value("requests.queue", reason));
        }
        if self.requests.timeout.is_zero() {
            return Err(ConfigError::value("requests.timeout", "give a time, as in \"10m\""));
        }
        self.registry.as_ref().map_or(Ok(()), |registry| registry.url().map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_workers_are_taken_from_the_other_executors_variable() {
        let mut executor = ExecutorSection::default();
        executor.take_names("w0, w1,").unwrap();
        assert_eq!(executor.names().unwrap().len(), 2);
        executor.take_names("w2").unwrap();
        assert_eq!(executor.names().unwrap().len(), 2, "what the config says counts");
        let error = ExecutorSection::default().take_names("a b").unwrap_err().to_string();
        assert!(error.contains("DIFFUSION_WORKER_ACTOR_NAMES"), "{error}");
    }

    #[test]
    fn each_backend_has_its_keys() {
        let checked = |text: &str| {
            let config: Config = config::parse(&format!("[executor]\n{text}"))?;
            config.executor.check().map(|()| config)
        };
        let config = checked("workers = [\"a\", \"b\"]\n").unwrap();
        assert_eq!(config.executor.names().unwrap().len(), 2);
        let config = checked(
            "backend = \"launched\"\nreplicas = 4\nnum_gpus = 1\nmemory = \"8GiB\"\n\
             [executor.placement]\npool = \"gpu\"\n",
        )
        .unwrap();
        assert_eq!((config.executor.count(), config.executor.memory), (4, Some(Size(8 << 30))));
        assert_eq!(config.executor.gpus, Some(GpuWish::Count(1)));
        let config = checked(
            "backend = \"launched\"\nlauncher = \"kubernetes\"\nworkers = 1\ngpu = \"A100:2\"\n\
             [executor.kubernetes]\ngpu_node_selector = { A100 = { product = \"a100\" } }\n",
        )
        .unwrap();
        assert_eq!(config.executor.gpus, Some(GpuWish::Typed("A100:2".to_owned())));
        assert_eq!(config.executor.kubernetes.gpu_node_selector["A100"]["product"], "a100");
        for (text, part) in [
            ("workers = 2\n", "name them"),
            ("backend = \"mp\"\n", "how many"),
            ("backend = \"mp\"\nworkers = 0\n", "1 to 4096"),
            ("backend = \"mp\"\nworkers = 3\ndevices = [\"cuda:0\", \"cuda:1\"]\n", "3 workers"),
            ("backend = \"mp\"\nworkers = 2\nmin_workers = 3\n", "at most as many"),
            ("backend = \"mp\"\nworkers = 2\ngpus = 1\n", "executor.gpus"),
            ("args = [\"x\"]\n", "executor.args"),
            ("backend = \"mp\"\nworkers = 2\nlauncher = \"slurm\"\n", "executor.launcher"),
            ("backend = \"mp\"\nworkers = 2\nowner_grace = \"1s\"\n", "executor.owner_grace"),
            ("start_timeout = \"1s\"\n", "executor.start_timeout"),
            (
                "backend = \"launched\"\nworkers = 1\n[executor.kubernetes.gpu_node_selector.A100]\n\
                 zone = \"a\"\n",
                "executor.kubernetes: the launcher \"process\" makes no use of it",
            ),
            ("backend = \"launched\"\nworkers = 1\ngpu = \"A100:\"\n", "H100:2"),
            ("backend = \"launched\"\nworkers = 1\ngpu = 1.5\n", "as in \"A100\" or \"H100:2\""),
            ("backend = \"launched\"\nworkers = 1\nmemory = \"lots\"\n", "8GiB"),
        ] {
            let error = checked(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[cfg(feature = "launchers")]
    #[test]
    fn a_launchers_programs_are_named_where_replicas_are_launched() {
        let parsed = |text: &str| Config::parse(text, &Backends::builtin());
        let programs = "[executor.command]\nprograms = \"/etc/hearth/launchers/ssh\"\n";
        let launched = "[executor]\nbackend = \"launched\"\nworkers = 1\nlauncher = \"command\"\n";
        let config = parsed(&format!("{launched}{programs}")).unwrap();
        assert!(config.executor.command.unwrap().programs.is_some());
        let error = parsed(&format!("[executor]\n{programs}")).unwrap_err().to_string();
        assert!(error.contains("executor.command"), "{error}");
        let error = parsed(&format!("{}{programs}", launched.replace("\"command", "\"slurm")));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("executor.launcher"), "{error}");
        let error = parsed("[executor.command]\nprogram = \"x\"\n").unwrap_err().to_string();
        assert!(error.contains("program"), "{error}");
    }

    #[test]
    fn a_coordinators_file_serves_an_engine_and_an_unknown_section_does_not() {
        let backends = Backends::builtin();
        let shipped = include_str!("../../../configs/coordinator.toml");
        let config = Config::parse(shipped, &backends).unwrap();
        assert_eq!(config.requests.queue, Config::default().requests.queue);
        let error = Config::parse("[artefacts]\n", &backends).unwrap_err().to_string();
        assert!(error.contains("artefacts"), "{error}");
    }
}
