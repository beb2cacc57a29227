//! The coordinator's config: defaults, then the file, then the environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use hearth_fabric::registry::{RegistryUrl, Settings as RegistrySettings};
use hearth_telemetry::log::LogSettings;
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

/// `[registry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySection {
    /// `etcd://`, `etcds://`, `dir:` or `static:`.
    pub url: String,
    /// Authorities of `etcds://` (PEM file); empty for the system's.
    pub cacert: String,
    /// Client certificate (PEM file).
    pub cert: String,
    /// Its key (PEM file).
    pub key: String,
    /// User name.
    pub user: String,
    /// File that holds the password.
    pub password_file: String,
    /// How long a record outlives its worker; of use to workers only.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
}

/// `[tls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// Folder of `ca.crt`, `tls.crt` and `tls.key`.
    pub dir: PathBuf,
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

impl Default for RegistrySection {
    fn default() -> Self {
        Self {
            url: "etcd://127.0.0.1:2379".to_owned(),
            cacert: String::new(),
            cert: String::new(),
            key: String::new(),
            user: String::new(),
            password_file: String::new(),
            ttl: RegistrySettings::default().ttl,
        }
    }
}

impl Default for TlsSection {
    fn default() -> Self {
        Self { dir: PathBuf::from("/etc/hearth/pki") }
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

/// `off`, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// Nothing is served.
    Off,
    /// This address.
    At(SocketAddr),
}

impl TryFrom<String> for Listen {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| format!("{text:?}: give \"off\" or IP:PORT"))
    }
}

/// Why a config can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path} can't be read")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A key or value is wrong.
    #[error("{0}")]
    Key(Box<figment::Error>),
    /// A value breaks a rule.
    #[error("{key}: {reason}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong, and the remedy.
        reason: String,
    },
}

/// Other variables of the same prefix are other programs'.
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
        let mut figment = Figment::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
            figment = figment.merge(Toml::string(&text));
        }
        let ours = |key: &str| {
            let section = key.split_once("__").map(|(section, _)| section.to_ascii_lowercase());
            section.is_some_and(|section| SECTIONS.contains(&section.as_str()))
        };
        let environment = Env::prefixed("HEARTH_").filter(move |key| ours(key.as_str()));
        let config: Self = figment
            .merge(environment.split("__"))
            .extract()
            .map_err(|error| ConfigError::Key(Box::new(error)))?;
        config.check(backends)?;
        Ok(config)
    }

    fn check(&self, backends: &Backends) -> Result<(), ConfigError> {
        let wrong = |key, reason: String| Err(ConfigError::Value { key, reason });
        backends.check(&self.executor.backend).map_err(|error| ConfigError::Value {
            key: "executor.backend",
            reason: error.to_string(),
        })?;
        if !(1..=MAX_QUEUE).contains(&self.requests.queue) {
            return wrong("requests.queue", format!("give 1 to {MAX_QUEUE}"));
        }
        if self.requests.timeout.is_zero() {
            return wrong("requests.timeout", "give a time, as in \"10m\"".to_owned());
        }
        self.registry_url().map(drop)
    }

    /// Where workers are found.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a URL that no registry has.
    pub fn registry_url(&self) -> Result<RegistryUrl, ConfigError> {
        RegistryUrl::parse(&self.registry.url)
            .map_err(|error| ConfigError::Value { key: "registry.url", reason: error.to_string() })
    }

    /// How the registry is reached.
    ///
    /// # Errors
    /// [`ConfigError::File`] for a password file that can't be read.
    pub fn registry_settings(&self) -> Result<RegistrySettings, ConfigError> {
        let section = &self.registry;
        let path = |text: &String| (!text.is_empty()).then(|| PathBuf::from(text));
        let password = match path(&section.password_file) {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(text.trim_end_matches('\n').to_owned()),
                Err(source) => return Err(ConfigError::File { path, source }),
            },
        };
        Ok(RegistrySettings {
            cacert: path(&section.cacert),
            cert: path(&section.cert),
            key: path(&section.key),
            user: (!section.user.is_empty()).then(|| section.user.clone()),
            password,
            ttl: section.ttl,
        })
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
        assert_eq!(config.registry_url().unwrap().to_string(), "dir:/run/hearth");
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
