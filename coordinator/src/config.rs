//! The coordinator's config: an engine's, and what the daemon adds to it.

use std::net::SocketAddr;
use std::path::Path;

use hearth_base::config::{self, Error};
use hearth_daemon::probe::Listen;
use hearth_engine::config::{ExecutorSection, RegistrySection, RequestsSection, TlsSection};
use hearth_engine::{Backends, Config as EngineConfig, known_as};
use hearth_telemetry::log::LogSettings;
use serde::Deserialize;

/// All that a coordinator is told at its start.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "File")]
pub struct Config {
    /// The engine: how workers are reached, and bounds on requests.
    pub engine: EngineConfig,
    /// The daemon's probe.
    pub http: HttpSection,
    /// Its log.
    pub log: LogSettings,
}

/// A config as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    executor: ExecutorSection,
    registry: Option<RegistrySection>,
    tls: Option<TlsSection>,
    http: HttpSection,
    requests: RequestsSection,
    log: LogSettings,
}

impl From<File> for Config {
    fn from(file: File) -> Self {
        let File { executor, registry, tls, http, requests, log } = file;
        Self { engine: EngineConfig { executor, registry, tls, requests }, http, log }
    }
}

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// TCP address of `/live`, `/ready` and `/metrics`; `off` for none.
    pub listen: Listen,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self { listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 8000))) }
    }
}

const SECTIONS: [&str; 6] = ["executor", "registry", "tls", "http", "requests", "log"];

impl Config {
    /// Reads the config: the defaults, the file, and variables such as `HEARTH_HTTP__LISTEN`, each
    /// over the one before.
    ///
    /// # Errors
    /// [`Error`] names the file or the key.
    pub fn load(file: Option<&Path>, backends: &Backends) -> Result<Self, Error> {
        let loaded = config::load(file, &SECTIONS, config::NoOverrides {});
        let mut config: Self = loaded.map_err(known_as::explain)?;
        config.engine.executor.take_names_of_environment()?;
        config.engine.check(backends)?;
        // Its message names the key.
        config.log.check().map_err(|error| Error::value("log", error))?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn load(text: &str) -> Result<Config, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("coordinator.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), &Backends::builtin())
    }

    #[test]
    fn the_shipped_config_holds_the_defaults() {
        let shipped = load(include_str!("../../configs/coordinator.toml")).unwrap();
        let default = Config::default();
        assert_eq!(shipped.engine.executor, default.engine.executor);
        assert_eq!(shipped.http.listen, default.http.listen);
        assert_eq!(shipped.engine.requests.queue, default.engine.requests.queue);
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
        assert_eq!(config.engine.requests.timeout, Duration::from_secs(5400));
        assert_eq!(config.engine.registry.unwrap().url().unwrap().to_string(), "dir:/run/hearth");
    }

    #[test]
    fn mistakes_name_the_key_and_the_remedy() {
        for (text, part) in [
            ("[executor]\nbackends = \"mp\"\n", "backends"),
            ("[executor]\nbackend = \"ray\"\n", "external"),
            ("[executor]\nbackend = \"ray_actor\"\n", "executor.launcher"),
            ("[executor]\nray_actor_cpus = 2\n", "ray_actor_cpus is called executor.cpus here"),
            ("[executor]\nray_actor_gpus = 1\n", "ray_actor_gpus is called executor.gpus here"),
            ("[executor]\nray_actor_memory = 1\n", "is called executor.memory here"),
            ("[executor.ray_init_kwargs]\naddress = \"auto\"\n", "is called [registry] (where"),
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
