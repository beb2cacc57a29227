//! The coordinator's config: defaults, then the file, then the environment.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

pub use hearth_fabric::config::{Error as ConfigError, RegistrySection, TlsSection};

use hearth_fabric::config;
use hearth_telemetry::log::LogSettings;
use hearth_telemetry::probe::Listen;
use serde::Deserialize;

use crate::Backends;

/// All that a coordinator is told at its start.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How workers are reached.
    pub executor: ExecutorSection,
    /// Where they are found.
    pub registry: RegistrySection,
    /// The coordinator's certificate.
    pub tls: TlsSection,
    /// Its probe.
    pub http: HttpSection,
    /// Bounds on requests.
    pub requests: RequestsSection,
    /// Its log.
    pub log: LogSettings,
}

/// `[executor]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutorSection {
    /// The executor's name.
    pub backend: String,
    /// Ready workers without which the coordinator is not ready.
    pub min_workers: usize,
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

impl Default for ExecutorSection {
    fn default() -> Self {
        Self { backend: "external".to_owned(), min_workers: 0 }
    }
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
        let config: Self = config::load(file, &SECTIONS, config::NoOverrides {})?;
        config.check(backends)?;
        Ok(config)
    }

    fn check(&self, backends: &Backends) -> Result<(), ConfigError> {
        backends
            .check(&self.executor.backend)
            .map_err(|error| ConfigError::value("executor.backend", error))?;
        if !(1..=MAX_QUEUE).contains(&self.requests.queue) {
            let reason = format!("give 1 to {MAX_QUEUE}");
            return Err(ConfigError::value("requests.queue", reason));
        }
        if self.requests.timeout.is_zero() {
            return Err(ConfigError::value("requests.timeout", "give a time, as in \"10m\""));
        }
        // Its message names the key.
        self.log.check().map_err(|error| ConfigError::value("log", error))?;
        self.registry.url().map(drop)
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
        let shipped = load(include_str!("../../configs/coordinator.toml")).unwrap();
        let default = Config::default();
        assert_eq!(shipped.executor.backend, default.executor.backend);
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
        assert_eq!(config.registry.url().unwrap().to_string(), "dir:/run/hearth");
    }

    #[test]
    fn mistakes_name_the_key_and_the_remedy() {
        for (text, part) in [
            ("[executor]\nbackends = \"mp\"\n", "backends"),
            ("[executor]\nbackend = \"ray\"\n", "external"),
            ("[registry]\nurl = \"zk://x\"\n", "etcd"),
            ("[http]\nlisten = \"here\"\n", "IP:PORT"),
            ("[requests]\nqueue = 0\n", "requests.queue"),
            ("[requests]\ntimeout = \"0s\"\n", "requests.timeout"),
            ("[artefacts]\n", "artefacts"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
