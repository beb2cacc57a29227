//! The coordinator's config: defaults, then the file, then the environment.

mod executor;
mod size;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use executor::{ExecutorSection, GpuWish, PlacementSection, Workers};
pub use hearth_fabric::config::{Error as ConfigError, RegistrySection, TlsSection};
pub use size::Size;

use hearth_fabric::config;
use hearth_telemetry::log::LogSettings;
use hearth_telemetry::probe::Listen;
use serde::Deserialize;

use crate::{Backends, known_as};

/// All that a coordinator is told at its start.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How workers are reached.
    pub executor: ExecutorSection,
    /// Where they are found. Without it, an engine that owns its workers has a private one.
    pub registry: Option<RegistrySection>,
    /// The coordinator's certificate. Without it, an engine that owns its workers issues one.
    pub tls: Option<TlsSection>,
    /// Its probe.
    pub http: HttpSection,
    /// Bounds on requests.
    pub requests: RequestsSection,
    /// Its log.
    pub log: LogSettings,
}

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// TCP address of `/live`, `/ready` and `/metrics`; `off` for none.
    pub listen: Listen,
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

impl Default for HttpSection {
    fn default() -> Self {
        Self { listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 8000))) }
    }
}

impl Default for RequestsSection {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600), queue: 256 }
    }
}

const SECTIONS: [&str; 6] = ["executor", "registry", "tls", "http", "requests", "log"];

/// Most requests under way at once; each holds its images until it ends.
const MAX_QUEUE: usize = 65_536;

impl Config {
    /// Reads the config: the defaults, the file, and variables such as `HEARTH_HTTP__LISTEN`, each
    /// over the one before.
    ///
    /// # Errors
    /// [`ConfigError`] names the file or the key.
    pub fn load(file: Option<&Path>, backends: &Backends) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(file, &SECTIONS, config::NoOverrides {})?;
        let actors = std::env::var(known_as::ACTOR_NAMES).unwrap_or_default();
        config.executor.take_names(&actors)?;
        config.check(backends)?;
        Ok(config)
    }

    /// Reads the config of a program that embeds the engine: the defaults, then `text` (TOML).
    ///
    /// # Errors
    /// [`ConfigError`] names the key.
    pub fn parse(text: &str, backends: &Backends) -> Result<Self, ConfigError> {
        let config: Self = config::parse(text)?;
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

    fn check(&self, backends: &Backends) -> Result<(), ConfigError> {
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
        // Its message names the key.
        self.log.check().map_err(|error| ConfigError::value("log", error))?;
        self.registry.as_ref().map_or(Ok(()), |registry| registry.url().map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("coordinator.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), &Backends::builtin())
    }

    #[test]
    fn the_shipped_config_holds_the_defaults() {
        let shipped = load(include_str!("../../../configs/coordinator.toml")).unwrap();
        let default = Config::default();
        assert_eq!(shipped.executor, default.executor);
        assert_eq!(shipped.http.listen, default.http.listen);
        assert_eq!(shipped.requests.queue, default.requests.queue);
        assert_eq!(shipped.log, default.log);
    }

    #[test]
    fn values_are_read_in_their_forms() {
        let config = load(
            "[http]\nlisten = \"off\"\n[requests]\ntimeout = \"1h30m\"\n\
             [registry]\nurl = \"dir:/run/hearth\"\n",
        )
        .unwrap();
        assert_eq!(config.http.listen, Listen::Off);
        assert_eq!(config.requests.timeout, Duration::from_secs(5400));
        assert_eq!(config.registry.unwrap().url().unwrap().to_string(), "dir:/run/hearth");
    }

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
            ("backend = \"launched\"\nworkers = 1\nmemory = \"lots\"\n", "8GiB"),
        ] {
            let error = checked(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn mistakes_name_the_key_and_the_remedy() {
        for (text, part) in [
            ("[executor]\nbackends = \"mp\"\n", "backends"),
            ("[executor]\nbackend = \"ray\"\n", "external"),
            ("[executor]\nbackend = \"ray_actor\"\n", "executor.launcher"),
            ("[registry]\nurl = \"zk://x\"\n", "etcd"),
            ("[http]\nlisten = \"here\"\n", "IP:PORT"),
            ("[requests]\nqueue = 0\n", "requests.queue"),
            ("[requests]\ntimeout = \"0s\"\n", "requests.timeout"),
            ("[artefacts]\n", "artefacts"),
            (
                "[executor]\nbackend = \"mp\"\nworkers = 1\n[tls]\ndir = \"pki\"\n",
                "executor.authority",
            ),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
